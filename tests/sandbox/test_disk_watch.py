"""`python -m sandbox.disk`: the programs, as a supervisor uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until

from sandbox.disk import limit, walk
from sandbox.disk.usage import Disk, usage

MIB = 1 << 20
PROGRAM = [sys.executable, "-I", "-m", "sandbox.disk"]

loops = pytest.param("loop", marks=pytest.mark.root)


class Watched:
    def __init__(self, disk: Disk) -> None:
        self.program = subprocess.Popen(
            [*PROGRAM, "watch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.program.stdin is not None
        self.program.stdin.write(json.dumps(disk) + "\n")
        self.program.stdin.flush()

    def line(self) -> dict[str, Any]:
        assert self.program.stdout is not None
        said: dict[str, Any] = json.loads(self.program.stdout.readline())
        return said

    def last(self) -> dict[str, Any]:
        while not (said := self.line())["reached"]:
            pass
        assert self.program.wait(60) == 0
        return said

    def close(self) -> None:
        self.program.kill()
        self.program.wait()
        for file in (self.program.stdin, self.program.stdout, self.program.stderr):
            assert file is not None
            file.close()


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    kind = getattr(request, "param", "walker")
    (tmp_path / "sandbox").mkdir()
    made = limit.begin(str(tmp_path / "sandbox"), 8 * MIB, str(tmp_path / "state"), "me", files=200, kinds=[kind])
    yield made
    limit.end(made)
    assert os.listdir(tmp_path / "state") == []


@pytest.fixture
def watched(disk: Disk) -> Iterator[Watched]:
    watched = Watched(disk)
    yield watched
    watched.close()


@pytest.mark.parametrize("disk", ["walker", loops], indirect=True)
def test_it_says_how_it_is_and_then_that_the_limit_is_reached(disk: Disk, watched: Watched) -> None:
    first = watched.line()
    assert first["bytes"] <= 4096
    assert (first["limit"], first["files"], first["files_limit"], first["reached"]) == (8 * MIB, 0, 200, "")
    with Path(disk["directory"], "big").open("wb", buffering=0) as file:
        try:
            while file.tell() < 9 * MIB:
                file.write(bytes(MIB))
        except OSError:
            assert disk["kind"] == "loop"
    last = watched.last()
    assert last["bytes"] >= 8 * MIB
    assert last["reached"] == f"it holds {last['bytes']} bytes, and may hold {8 * MIB}"


@pytest.mark.parametrize("disk", ["walker", loops], indirect=True)
def test_so_it_is_with_files(disk: Disk, watched: Watched) -> None:
    watched.line()
    for number in range(200):
        Path(disk["directory"], str(number)).touch()
    assert watched.last()["reached"] == "it holds 200 files and directories, and may hold 200"


@pytest.mark.parametrize("disk", ["walker", loops], indirect=True)
def test_on_its_way_there_it_says_how_far_it_has_come(disk: Disk, watched: Watched) -> None:
    watched.line()
    Path(disk["directory"], "some").write_bytes(bytes(MIB))
    said = watched.line()
    assert MIB <= said["bytes"] < 2 * MIB
    assert said["reached"] == ""


@pytest.mark.parametrize("disk", ["walker", loops], indirect=True)
def test_what_was_over_the_limit_before_it_came_is_said_at_once(disk: Disk) -> None:
    try:
        Path(disk["directory"], "big").write_bytes(bytes(9 * MIB))
    except OSError:
        assert disk["kind"] == "loop"
    watched = Watched(disk)
    try:
        assert watched.line()["reached"]
    finally:
        watched.close()


@pytest.mark.parametrize("disk", [loops], indirect=True)
def test_while_nothing_is_written_it_sleeps_without_end(watched: Watched) -> None:
    """The last argument of select, and of what the C library makes of it, is how long: none."""
    watched.line()

    def sleeps() -> bool:
        number, *arguments = Path(f"/proc/{watched.program.pid}/syscall").read_text().split()
        return number in ("23", "270", "72") and int(arguments[4], 16) == 0

    until(sleeps)


@pytest.mark.parametrize("disk", ["walker", loops], indirect=True)
def test_it_goes_when_its_input_ends(watched: Watched) -> None:
    watched.line()
    assert watched.program.stdin is not None
    watched.program.stdin.close()
    assert watched.program.wait(60) == 0


def test_it_goes_when_its_parent_does_though_its_input_stays_open(disk: Disk) -> None:
    reader, writer = os.pipe()
    os.write(writer, json.dumps(disk).encode() + b"\n")
    between = (
        "import subprocess, sys, os\n"
        f"child = subprocess.Popen({[*PROGRAM, 'watch']!r}, stdin={reader}, stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", between], pass_fds=(reader,), capture_output=True, text=True, timeout=60
    )
    pid = int(done.stdout)
    until(lambda: not os.path.exists(f"/proc/{pid}") or " Z " in _stat(pid), "the watch lives on")
    os.close(reader)
    os.close(writer)


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " Z "


def test_what_it_counted_last_is_there_for_everybody_with_its_age(disk: Disk, watched: Watched) -> None:
    Path(disk["directory"], "some").write_bytes(bytes(MIB))
    until(lambda: (used := usage(disk)) and used.bytes > MIB)
    watched.program.kill()
    watched.program.wait()
    used = usage(disk)
    assert used is not None
    assert (used.limit, used.files, used.files_limit, used.unread) == (8 * MIB, 1, 200, 0)
    assert 0 <= used.age < 60
    os.utime(f"{disk['state']}/me/figure", (0, 0))
    old = usage(disk)
    assert old is not None
    assert old.age > 10**9


def test_a_walker_that_nobody_sent_has_no_figure(disk: Disk) -> None:
    assert usage(disk) is None


def test_what_nests_beyond_reason_has_reached_its_limit(disk: Disk) -> None:
    fd = os.open(disk["directory"], os.O_RDONLY)
    for _ in range(walk.DEEPEST + 2):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    big = {**disk, "limit": 1 << 40, "files": None}
    watched = Watched(big)  # type: ignore[arg-type]
    try:
        assert "nested more than" in watched.last()["reached"]
    finally:
        watched.close()
        subprocess.run(["rm", "-rf", f"{disk['directory']}/d"], check=True)


@pytest.mark.root
def test_a_plain_user_hides_nothing_in_a_directory_that_it_has_closed_to_itself(tmp_path: Path) -> None:
    try:
        subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-U", "true"], check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there are no user namespaces here")
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode | 0o011)
    for name in ("sandbox/closed", "state"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sandbox/closed/much").write_bytes(b"x" * 9 * MIB)
    for each in (
        tmp_path / "sandbox",
        tmp_path / "sandbox/closed",
        tmp_path / "sandbox/closed/much",
        tmp_path / "state",
    ):
        os.chown(each, 65534, 65534)
    (tmp_path / "sandbox/closed").chmod(0o300)
    program = (
        "import json, os, sys\nfrom sandbox import syscalls\nfrom sandbox.disk import __main__, limit, watch\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); syscalls.set_dumpable()  # as after an exec\n"
        "disk = limit.begin('sandbox', 8 << 20, 'state', 'me', kinds=['walker'])\n"
        "theirs, ours = os.pipe(); os.dup2(theirs, 0); os.write(ours, json.dumps(disk).encode() + b'\\n')\n"
        "sys.exit(__main__.main(['watch']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["unread"] == 0
    assert said["reached"].startswith("it holds 94")


@pytest.mark.parametrize("disk", ["walker", loops], indirect=True)
def test_the_end_is_a_program_too(disk: Disk) -> None:
    Path(disk["directory"], "file").write_text("text")
    done = subprocess.run([*PROGRAM, "end"], input=json.dumps(disk), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"kept": ""}\n', "")
    assert Path(disk["directory"], "file").read_text() == "text"
    assert not os.path.ismount(disk["directory"])


def test_without_a_disk_it_says_what_it_cannot_do(disk: Disk) -> None:
    for given in (
        "",
        "no json\n",
        json.dumps({**disk, "directory": "/nowhere"}),
        json.dumps({**disk, "kind": "other"}),
    ):
        done = subprocess.run([*PROGRAM, "watch"], input=given, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert done.stderr.startswith("cannot watch: ")
        assert "Traceback" not in done.stderr


def test_wrong_usage_is_two() -> None:
    done = subprocess.run([*PROGRAM, "nothing"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("cannot tell what to do")
