"""A directory whose files are in an image on a loop device: real ones, of this host."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from deadline import until
from small_disk import mounted

from sandbox import syscalls
from sandbox.disk import calls, limit, probe, records
from sandbox.disk.kinds import CannotLimit, loop
from sandbox.disk.usage import Disk, usage

pytestmark = pytest.mark.root

MIB = 1 << 20
NOBODY = 65534


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """Holds a directory to be limited and one for the records. Nothing may be left of mounts and devices."""
    (tmp_path / "sandbox").mkdir()
    yield tmp_path
    mounts = mounts_below(tmp_path)
    for point in reversed(mounts):  # so that the next test finds a clean host all the same
        subprocess.run(["umount", "-l", point], check=True)
    assert mounts == []
    until(lambda: devices_of(tmp_path) == [] or held_elsewhere(tmp_path), "a loop device is left")


def held_elsewhere(directory: Path) -> bool:
    """Whether a mount namespace that somebody made meanwhile (other tests do) has it, and so has the device."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{directory}/" in (process / "mountinfo").read_text():
                return True
    return False


def mounts_below(directory: Path) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{directory}/")]


def devices_of(directory: Path) -> list[str]:
    shown = subprocess.run(["losetup", "-n", "-l", "-O", "NAME,BACK-FILE"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in shown.stdout.splitlines() if f"{directory}/" in line]


def begin(
    base: Path, bytes: int = 8 * MIB, holder: str = "me", name: str = "sandbox", files: int | None = None
) -> Disk:
    return limit.begin(str(base / name), bytes, str(base / "state"), holder, files=files, kinds=["loop"])


def write_all(path: Path, most: int = 64 * MIB) -> int:
    """How many bytes could be written."""
    written = 0
    with path.open("wb", buffering=0) as file:
        while written < most:
            try:
                written += file.write(bytes(5000))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
    return written


class Dies(BaseException):
    """As a kill would: nothing that was begun is undone."""


def dies_when_it_has_copied(name: str, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a limit, up to where one of its files is in the directory under the mount."""

    def copy_in_part(directory: str, target: int) -> str:
        shutil.copy(f"{directory}/{name}", f"/proc/self/fd/{target}/{name}")
        raise Dies

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_copy", copy_in_part)
        with pytest.raises(Dies):
            limit.end(disk)


def forget(base: Path) -> None:
    """What a reboot does: mounts and devices are gone, files stay."""
    subprocess.run(["umount", str(base / "sandbox")], check=True)
    until(lambda: devices_of(base) == [])


# -- the limit


def test_root_itself_can_write_as_much_as_the_limit_and_not_a_byte_more(base: Path) -> None:
    disk = begin(base)
    assert write_all(base / "sandbox" / "big") == 8 * MIB
    used = usage(disk)
    assert used is not None
    assert (used.bytes, used.limit, used.files, used.age) == (8 * MIB, 8 * MIB, 1, 0.0)
    limit.end(disk)


@pytest.mark.parametrize("bytes", [1 * MIB, 5 * MIB + 1, 300 * MIB, 3000 * MIB, 200_000 * MIB])
def test_it_is_met_whatever_the_size(base: Path, bytes: int) -> None:
    disk = begin(base, bytes)
    seen = os.statvfs(base / "sandbox")
    assert disk["limit"] == -(-bytes // 4096) * 4096 == seen.f_bavail * seen.f_frsize
    assert limit.end(disk) == ""


def test_it_begins_empty_with_the_directorys_owner_and_mode_and_gives_no_privileges(base: Path) -> None:
    os.chown(base / "sandbox", NOBODY, NOBODY)
    os.chmod(base / "sandbox", 0o751)
    disk = begin(base)
    assert os.listdir(base / "sandbox") == []
    seen = os.stat(base / "sandbox")
    assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o7777) == (NOBODY, NOBODY, 0o751)
    used = usage(disk)
    assert used is not None
    assert (used.bytes, used.files) == (0, 0)
    (line,) = (line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {base}/sandbox " in line)
    assert {"nosuid", "nodev"} <= set(line.split()[3].split(","))
    limit.end(disk)
    after = os.stat(base / "sandbox")
    assert (after.st_uid, after.st_gid, after.st_mode & 0o7777) == (NOBODY, NOBODY, 0o751)


def test_what_is_removed_is_room_again(base: Path) -> None:
    disk = begin(base)
    write_all(base / "sandbox" / "big")
    (base / "sandbox" / "big").unlink()
    assert write_all(base / "sandbox" / "other") == 8 * MIB
    limit.end(disk)


def test_files_are_limited_too(base: Path) -> None:
    disk = begin(base, files=50)
    made = 0
    with suppress(OSError):
        for made in range(200):
            (base / "sandbox" / str(made)).touch()
    assert 50 <= made < 80  # mke2fs rounds up
    used = usage(disk)
    assert used is not None
    assert (used.files, used.files_limit) == (made, 50)
    limit.end(disk)


# -- where it cannot be


def test_a_directory_that_holds_something_is_not_hidden_but_walked(base: Path) -> None:
    (base / "sandbox" / "mine").write_text("kept")
    disk = limit.begin(str(base / "sandbox"), 8 * MIB, str(base / "state"), "me", kinds=["loop", "walker"])
    assert disk["kind"] == "walker"
    assert disk["passed_over"] == [["loop", f"{base}/sandbox is not empty: a mount would hide its files"]]
    limit.end(disk)
    assert (base / "sandbox" / "mine").read_text() == "kept"


def test_a_mount_is_refused(base: Path) -> None:
    with mounted(base / "sandbox", "1M"), pytest.raises(CannotLimit, match="is a mount itself"):
        begin(base)
    assert os.listdir(base / "state") == []


@pytest.mark.parametrize("bytes", [0, -1])
def test_no_limit_is_none(base: Path, bytes: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        begin(base, bytes)


@pytest.mark.parametrize("holder", ["", "a/b", "..", ".x"])
def test_a_holder_that_is_no_file_name_is_refused(base: Path, holder: str) -> None:
    with pytest.raises(ValueError, match="holder's name"):
        begin(base, holder=holder)


STEPS = [
    (loop, "_make"),
    (loop, "_run"),
    (loop, "_mount"),
    (loop, "_furnish"),
    (loop, "_hold_exactly"),
    (calls, "attach"),
    (syscalls, "mount"),
    (os, "fchmod"),
    (os, "fchown"),
    (records, "write"),
]


@pytest.mark.parametrize(("module", "step"), STEPS, ids=[step for _, step in STEPS])
def test_whichever_step_fails_nothing_is_left(
    base: Path, monkeypatch: pytest.MonkeyPatch, module: object, step: str
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise OSError(errno.EIO, "as the test wants it")

    with monkeypatch.context() as patched:
        patched.setattr(module, step, fail)
        with pytest.raises(CannotLimit, match="as the test wants it"):
            begin(base)
    assert os.listdir(base / "state") == []
    assert mounts_below(base) == []
    limit.end(begin(base))  # and it can be had later


def test_a_step_that_fails_after_it_was_done_leaves_nothing_either(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loop._mount

    def fail(*arguments: object) -> None:
        whole(*arguments)  # type: ignore[arg-type]
        raise OSError(errno.EIO, "as the test wants it")

    monkeypatch.setattr(loop, "_mount", fail)
    with pytest.raises(CannotLimit):
        begin(base)
    assert os.listdir(base / "state") == []


def test_who_dies_while_making_it_leaves_nothing_that_a_second_try_or_a_sweep_does_not_find(base: Path) -> None:
    for holder in ("again", "never"):
        pid = os.fork()
        if not pid:
            loop._furnish = lambda *arguments: os._exit(9)  # type: ignore[assignment]
            (base / holder).mkdir()
            begin(base, holder=holder, name=holder)
        assert os.waitpid(pid, 0)[1] == 9 << 8
    assert len(mounts_below(base)) == 2
    disk = begin(base, holder="again", name="again")
    assert write_all(base / "again" / "big") == 8 * MIB
    assert limit.sweep(str(base / "state"), lambda holder: holder == "again") == {"never": ""}
    assert os.listdir(base / "state") == ["again"]
    assert os.listdir(base / "never") == []
    limit.end(disk)


# -- the end


def fill(directory: Path) -> None:
    (directory / "deep" / "er").mkdir(parents=True)
    (directory / "deep" / "er" / "file").write_text("text")
    os.link(directory / "deep" / "er" / "file", directory / "second name")
    (directory / "link").symlink_to("/nowhere")
    os.mkfifo(directory / "pipe")
    with (directory / "sparse").open("wb") as file:
        file.seek(3 * MIB)
        file.write(b"end")
    os.chown(directory / "sparse", NOBODY, 7)
    os.chmod(directory / "sparse", 0o4640)
    os.setxattr(directory / "sparse", "user.note", b"x")
    os.utime(directory / "deep", ns=(10**18, 10**18 + 1))


def described(directory: Path) -> dict[str, tuple[object, ...]]:
    """All there is to see of a tree, less what cannot be the same in another file system."""
    seen: dict[str, tuple[object, ...]] = {}
    names: dict[int, str] = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(directory))
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        notes = os.listxattr(path, follow_symlinks=False)
        first = names.setdefault(status.st_ino, name)
        seen[name] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content, notes, first)
    return seen


def test_at_the_end_the_files_are_in_the_plain_directory_as_they_were(base: Path) -> None:
    disk = begin(base)
    fill(base / "sandbox")
    before = described(base / "sandbox")
    assert limit.end(disk) == ""
    assert described(base / "sandbox") == before
    assert len(before) == 7
    assert (base / "sandbox" / "sparse").stat().st_blocks < 100
    assert os.listdir(base / "state") == []
    assert mounts_below(base) == []
    assert usage(disk) is None
    assert limit.end(disk) == ""  # a second one finds nothing to do


def test_who_has_a_file_open_keeps_it_and_the_device_goes_when_they_do(base: Path) -> None:
    disk = begin(base)
    (base / "sandbox" / "log").write_text("line")
    with (base / "sandbox" / "log").open() as reader:
        assert limit.end(disk) == ""
        assert (base / "sandbox" / "log").read_text() == reader.read() == "line"
        assert len(devices_of(base)) == 1
    until(lambda: devices_of(base) == [])


def test_a_mount_namespace_made_meanwhile_keeps_the_device_no_longer_than_it_lives(base: Path) -> None:
    disk = begin(base)
    (base / "sandbox" / "file").write_text("text")
    waits = ["unshare", "-m", "--propagation", "private", "sh", "-c", "echo; read line"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert limit.end(disk) == ""
        assert (base / "sandbox" / "file").read_text() == "text"
        assert os.listdir(base / "state") == []
        assert len(devices_of(base)) == 1
        other.communicate(b"\n")
    until(lambda: devices_of(base) == [])


def test_what_is_mounted_on_it_elsewhere_is_held_to_the_limit(base: Path) -> None:
    """As a sandbox has it: the directory bound in a mount namespace of its own."""
    disk = begin(base)
    (base / "seen").mkdir()
    program = f"mount --bind {base}/sandbox {base}/seen && head -c 20M /dev/zero > {base}/seen/big"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "No space left" in done.stderr
    assert (base / "sandbox" / "big").stat().st_size == 8 * MIB
    limit.end(disk)


def test_without_room_for_a_copy_the_files_stay_to_be_read_until_there_is(base: Path) -> None:
    small = base / "small"
    small.mkdir()
    with mounted(small, "2M"):
        (small / "sandbox").mkdir()
        disk = limit.begin(str(small / "sandbox"), 8 * MIB, str(base / "state"), "me", kinds=["loop"])
        (small / "sandbox" / "big").write_bytes(b"x" * (4 * MIB))
        kept = limit.end(disk)
        assert "there is room for" in kept
        assert f"{base}/state/me/image" in kept
        assert (small / "sandbox" / "big").stat().st_size == 4 * MIB
        with pytest.raises(OSError, match="Read-only"):
            (small / "sandbox" / "more").touch()
        assert limit.sweep(str(base / "state"), lambda holder: False) == {"me": kept}
        subprocess.run(["mount", "-o", "remount,size=20M", str(small)], check=True)
        assert limit.sweep(str(base / "state"), lambda holder: False) == {"me": ""}
        assert (small / "sandbox" / "big").read_bytes() == b"x" * (4 * MIB)
        assert mounts_below(small) == []
    assert os.listdir(base / "state") == []


def test_a_copy_that_fails_leaves_no_half_of_it(base: Path) -> None:
    small = base / "small"
    small.mkdir()
    with mounted(small, "20M,nr_inodes=8"):
        (small / "sandbox").mkdir()
        disk = limit.begin(str(small / "sandbox"), 8 * MIB, str(base / "state"), "me", kinds=["loop"])
        for number in range(20):
            (small / "sandbox" / str(number)).write_text("text")
        assert "copying them out failed" in limit.end(disk)
        assert len(os.listdir(small / "sandbox")) == 20
        subprocess.run(["umount", str(small / "sandbox")], check=True)
        assert os.listdir(small / "sandbox") == []
        subprocess.run(["mount", "-o", "remount,nr_inodes=100", str(small)], check=True)
        assert limit.end(disk) == ""
        assert len(os.listdir(small / "sandbox")) == 20


def test_half_a_copy_does_not_take_the_room_of_the_whole(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = base / "small"
    small.mkdir()
    with mounted(small, "6M"):
        (small / "sandbox").mkdir()
        disk = limit.begin(str(small / "sandbox"), 8 * MIB, str(base / "state"), "me", kinds=["loop"])
        (small / "sandbox" / "big").write_bytes(b"x" * (4 * MIB))

        dies_when_it_has_copied("big", disk, monkeypatch)
        assert limit.end(disk) == ""
        assert (small / "sandbox" / "big").stat().st_size == 4 * MIB


def test_what_was_kept_for_want_of_room_can_be_resumed_and_written(base: Path) -> None:
    small = base / "small"
    small.mkdir()
    with mounted(small, "2M"):
        (small / "sandbox").mkdir()
        disk = limit.begin(str(small / "sandbox"), 8 * MIB, str(base / "state"), "me", kinds=["loop"])
        (small / "sandbox" / "big").write_bytes(b"x" * (4 * MIB))
        assert limit.end(disk)
        limit.again(disk)
        (small / "sandbox" / "big").unlink()
        (small / "sandbox" / "small").write_text("text")
        assert limit.end(disk) == ""
        assert os.listdir(small / "sandbox") == ["small"]


@pytest.mark.parametrize("reboot", [False, True], ids=["", "reboot"])
@pytest.mark.parametrize("stage", [records.COPYING, "copied in part", records.COPIED, "unmounted"])
def test_an_end_may_be_killed_anywhere_and_loses_nothing(
    base: Path, monkeypatch: pytest.MonkeyPatch, stage: str, reboot: bool
) -> None:
    disk = begin(base)
    fill(base / "sandbox")
    before = described(base / "sandbox")
    write = records.write

    def die_after(place: str, reached: str, of: Disk) -> None:
        write(place, reached, of)
        if reached == stage:
            raise Dies

    def copy_in_part(directory: str, target: int) -> str:
        shutil.copytree(f"{directory}/deep", f"/proc/self/fd/{target}/deep")
        raise Dies

    def die(disk: Disk) -> None:
        subprocess.run(["umount", disk["directory"]], check=True)
        raise Dies

    with monkeypatch.context() as patched:
        patched.setattr(records, "write", die_after)
        if stage == "copied in part":
            patched.setattr(loop, "_copy", copy_in_part)
        if stage == "unmounted":
            patched.setattr(loop, "_unmount", die)
        with pytest.raises(Dies):
            limit.end(disk)
    if reboot and mounts_below(base):
        forget(base)
    assert limit.sweep(str(base / "state"), lambda holder: False) == {"me": ""}
    assert described(base / "sandbox") == before
    assert os.listdir(base / "state") == []


def test_a_directory_that_somebody_removed_takes_its_image_with_it(base: Path) -> None:
    begin(base)
    (base / "sandbox" / "file").touch()
    forget(base)
    (base / "sandbox").rmdir()
    assert limit.sweep(str(base / "state"), lambda holder: False) == {"me": ""}
    assert os.listdir(base / "state") == []


# -- again


def test_after_a_reboot_the_files_and_the_limit_come_again(base: Path) -> None:
    disk = begin(base)
    (base / "sandbox" / "file").write_text("text")
    forget(base)
    assert usage(disk) is None
    assert os.listdir(base / "sandbox") == []
    limit.again(disk)
    assert (base / "sandbox" / "file").read_text() == "text"
    assert write_all(base / "sandbox" / "big") == 8 * MIB - 4096
    limit.again(disk)  # nothing to do
    assert len(mounts_below(base)) == 1
    limit.end(disk)


def test_after_a_power_cut_it_is_mended_first(base: Path) -> None:
    disk = begin(base)
    (base / "sandbox" / "file").write_text("text")
    subprocess.run(["sync", "-f", str(base / "sandbox")], check=True)
    image = base / "state" / "me" / "image"
    shutil.copy(image, base / "as it was")
    forget(base)
    shutil.copy(base / "as it was", image)
    checked = subprocess.run(["dumpe2fs", "-h", str(image)], capture_output=True, text=True, check=True)
    assert "not clean" in checked.stdout
    wrong = ["debugfs", "-w", "-R", "set_inode_field file links_count 5", str(image)]
    subprocess.run(wrong, check=True, capture_output=True)
    limit.again(disk)
    assert (base / "sandbox" / "file").read_text() == "text"
    assert (base / "sandbox" / "file").stat().st_nlink == 1
    limit.end(disk)


def test_what_is_removed_after_half_a_copy_does_not_come_back(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = begin(base)
    (base / "sandbox" / "old").write_text("text")

    dies_when_it_has_copied("old", disk, monkeypatch)
    limit.again(disk)
    (base / "sandbox" / "old").unlink()
    (base / "sandbox" / "new").touch()
    assert limit.end(disk) == ""
    assert os.listdir(base / "sandbox") == ["new"]


def test_an_image_that_is_mounted_elsewhere_is_not_mounted_twice(base: Path) -> None:
    disk = begin(base)
    with (base / "sandbox" / "held").open("w"):
        subprocess.run(["umount", "-l", str(base / "sandbox")], check=True)
        with pytest.raises(CannotLimit, match="in use by loop"):
            limit.again(disk)
    until(lambda: devices_of(base) == [])
    limit.again(disk)
    limit.end(disk)


def test_of_what_nothing_is_known_nothing_can_be_set_again(base: Path) -> None:
    disk = begin(base)
    limit.end(disk)
    with pytest.raises(CannotLimit, match="nothing is known"):
        limit.again(disk)


# -- several


def test_the_same_asked_for_twice_is_one(base: Path) -> None:
    disk = begin(base)
    assert begin(base) == disk
    assert len(mounts_below(base)) == 1
    (base / "other").mkdir()
    with pytest.raises(CannotLimit, match="has a limit already"):
        begin(base, name="other")
    limit.end(disk)


def test_twenty_begin_and_end_at_once(base: Path) -> None:
    names = [f"box{number}" for number in range(20)]
    for name in names:
        (base / name).mkdir()

    def live(name: str) -> tuple[int, str]:
        disk = begin(base, 2 * MIB, holder=name, name=name)
        written = write_all(base / name / "big", 4 * MIB)
        return written, limit.end(disk)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(live, names)) == [(2 * MIB, "")] * 20
    assert os.listdir(base / "state") == []
    assert [(base / name / "big").stat().st_size for name in names] == [2 * MIB] * 20


def test_a_sweep_leaves_the_living_and_what_somebody_is_at(base: Path) -> None:
    (base / "other").mkdir()
    mine, other = begin(base), begin(base, holder="other", name="other")
    with records.locked(str(base / "state"), "other"):
        assert limit.sweep(str(base / "state"), lambda holder: holder == "me") == {"other": ""}
    assert len(mounts_below(base)) == 2
    limit.sweep(str(base / "state"), lambda holder: holder == "me")
    assert mounts_below(base) == [mine["directory"]]
    assert limit.end(other) == ""
    limit.end(mine)


def test_the_probe_says_that_it_works_and_leaves_nothing(base: Path) -> None:
    rows = {row[0]: row[1:] for row in probe.probe(str(base), str(base / "state"))}
    assert rows["disk limit: loop"] == (True, "the kernel refuses more", "", "")
    assert rows["disk limit: walker"][0]
    assert os.listdir(base / "state") == []
    assert sorted(os.listdir(base)) == ["sandbox", "state"]


def test_a_plain_user_gets_the_walker_and_is_told_why(base: Path) -> None:
    os.chown(base / "sandbox", NOBODY, NOBODY)
    program = (
        "import os\nfrom sandbox.disk import limit\nos.setgid(65534); os.setuid(65534); os.umask(0o77)\n"
        "disk = limit.begin('box', 1 << 30, 'state', 'me')\n"
        "print(disk['kind'], *(kind for kind, _ in disk['passed_over'])); limit.end(disk); print(os.listdir('state'))"
    )
    (base / "sandbox" / "box").mkdir()
    os.chown(base / "sandbox" / "box", NOBODY, NOBODY)
    for each in (base, *base.parents):
        if each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode | 0o011)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=base / "sandbox", capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("walker project loop\n[]\n", "")
