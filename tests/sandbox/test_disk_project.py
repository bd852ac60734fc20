"""Project quotas, in a virtual machine that is booted once for all of these: few kernels of test machines have them.

This file is also what runs in there: a function for each story, told as JSON; here it is judged what came of it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.disk import calls, limit, probe, records
from sandbox.disk.kinds import CannotLimit, project
from sandbox.disk.usage import Disk, usage

if TYPE_CHECKING:
    from in_the_vm import Facts, Told

pytestmark = pytest.mark.root

MIB = 1 << 20
NOBODY = 65534
BASE = Path("/var/tmp/quotas")
STATE = BASE / "state"
PROGRAM = [sys.executable, "-I", "-m", "sandbox.disk"]


@pytest.fixture(scope="module")
def told() -> Told:
    """What came of a story, by its name."""
    from in_the_vm import tell  # which is not to be found in there

    return tell(Path(__file__))


# -- what is judged here


def test_a_writer_is_refused_at_the_limit(told: Told) -> None:
    facts = told("writes")
    assert facts["kind"] == "project"
    assert facts["refused"] == errno.EDQUOT
    assert 10 * MIB - 16384 <= facts["written"] <= 10 * MIB
    assert facts["used"][:2] == [facts["quota"], 10 * MIB]
    assert facts["files"] == [1, 50]


def test_the_watch_is_told_by_the_kernel(told: Told) -> None:
    said = told("writes")["said"]
    assert [line["reached"] for line in said] == ["", f"a write was refused: it may hold {10 * MIB} bytes"]
    assert told("writes")["told"]  # it does not ask meanwhile


def test_files_are_limited_and_the_watch_says_which(told: Told) -> None:
    facts = told("files")
    assert facts["made"] == 50
    assert facts["reached"] == "a write was refused: it may hold 50 files"


def test_who_has_no_quota_is_noticed_all_the_same(told: Told) -> None:
    """Root with CAP_SYS_RESOURCE: nothing is refused."""
    assert told("privileged")["reached"] == f"a write was refused: it may hold {MIB} bytes"
    assert told("privileged")["written"] == 2 * MIB


def test_a_watch_that_comes_late_says_it_at_once(told: Told) -> None:
    assert "may hold" in told("late")["said"][0]["reached"]


def test_at_the_end_the_limit_is_gone_and_the_number_is_free_when_the_files_are(told: Told) -> None:
    facts = told("ends")
    assert facts["kept"] == ""
    assert facts["limit after"] == 0
    assert facts["written after"] == 2 * MIB
    assert facts["records"] == [["me"], ["me"], []]
    assert facts["empty"] == [[], 0]


def test_a_project_of_somebody_else_a_limit_and_files_are_left_alone(told: Told) -> None:
    facts = told("refusals")
    assert "belongs to project 77 of somebody else" in facts["theirs"]
    assert "has a limit already" in facts["limited"]
    assert "is not empty" in facts["full"]
    assert facts["projects"][0] == 77
    assert facts["records"] == ["first"]


def test_without_enforcement_it_is_refused_with_what_to_do(told: Told) -> None:
    assert "does not hold to project quotas" in told("not enforced")["why"]
    assert "-o prjquota" in told("not enforced")["remedy"]
    assert "has no project quotas" in told("not enforced")["memory"]


def test_it_comes_again_after_a_reboot(told: Told) -> None:
    assert told("again") == {"limits": [MIB, 0, MIB], "twice": True}


def test_whichever_step_fails_nothing_is_left(told: Told) -> None:
    steps = told("fails")
    assert set(steps) == {"set_project", "set_quota", "write", "after set_quota", "number taken"}
    for step, seen in steps.items():
        if step == "number taken":
            assert seen == {"other": True, "projects": 2}
        else:
            assert seen == {"why": "as the test wants it", "project": 0, "records": []}, step


def test_the_probe_says_that_it_works(told: Told) -> None:
    assert told("probes")["rows"][0] == ["disk limit: project", True, "the kernel refuses more", "", ""]
    assert told("probes")["left"] == [[], []]


# -- what happens in the machine


def main() -> None:
    for module in ("fs/quota/quota_tree", "fs/quota/quota_v2", "drivers/block/loop"):
        path = f"/usr/lib/uml/modules/{platform.release()}/kernel/{module}.ko"
        with open(path, "rb") as file:
            assert ctypes.CDLL(None).syscall(313, file.fileno(), b"", 0) == 0, path
    sys.path.append(str(Path(__file__).parents[1]))
    from telling import tell_all

    tell_all({name: partial(on_a_file_system, story) for name, story in STORIES.items()})


def on_a_file_system(story: Callable[[Path], Facts]) -> Facts:
    for directory in (BASE / "fs", STATE):
        directory.mkdir(parents=True)
    try:
        make_file_system("prjquota")
        return story(BASE / "fs")
    finally:
        subprocess.run(["umount", BASE / "fs"], check=False)
        shutil.rmtree(BASE)


def make_file_system(options: str) -> None:
    image = BASE / "image"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    features = ["-O", "quota,project", "-E", "quotatype=prjquota"]
    subprocess.run(["mkfs.ext4", "-q", "-F", *features, image], check=True, stderr=subprocess.DEVNULL)
    mount(options)


def mount(options: str) -> None:
    subprocess.run(["mount", "-o", f"loop,{options}", BASE / "image", BASE / "fs"], check=True)


def begin(directory: Path, bytes: int = 10 * MIB, holder: str = "me", files: int | None = None) -> Disk:
    directory.mkdir(exist_ok=True)
    os.chown(directory, NOBODY, NOBODY)
    return limit.begin(str(directory), bytes, str(STATE), holder, files=files, kinds=["project"])


def as_nobody(work: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    """The two numbers that a piece of work comes to as a plain user."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os.write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        told = json.load(file)
    os.waitpid(pid, 0)
    return told[0], told[1]


def write(path: Path, most: int) -> tuple[int, int]:
    """(bytes written, errno that ended it or 0)."""
    written = 0
    with path.open("wb", buffering=0) as file:
        while written < most:
            try:
                written += file.write(bytes(8192))
            except OSError as error:
                return written, error.errno or 0
    return written, 0


def quota(disk: Disk) -> calls.Quota:
    fd = os.open(disk["directory"], os.O_RDONLY)
    try:
        return calls.quota(fd, disk["project"])
    finally:
        os.close(fd)


class Watched:
    def __init__(self, disk: Disk) -> None:
        self.program = subprocess.Popen([*PROGRAM, "watch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.program.stdin is not None
        self.program.stdin.write(json.dumps(disk) + "\n")
        self.program.stdin.flush()

    def said(self, first: Callable[[], object] = lambda: None) -> list[Facts]:
        """All it says, to the end; `first` is done when it has said one thing."""
        assert self.program.stdout is not None
        lines = [json.loads(self.program.stdout.readline())]
        first()
        lines += map(json.loads, self.program.stdout)
        self.program.wait()
        return lines


def writes(fs: Path) -> Facts:
    disk = begin(fs / "box", files=50)
    watched = Watched(disk)
    listens = project.ROW.watch(disk)
    seen: Facts = {"kind": disk["kind"], "told": listens.fd >= 0 and listens.rest(listens.look()) == 0.0}
    listens.close()

    def fill() -> None:
        seen["written"], seen["refused"] = as_nobody(lambda: write(fs / "box" / "big", 20 * MIB))

    seen["said"] = watched.said(fill)
    used = usage(disk)
    assert used is not None
    return seen | {"used": used, "quota": quota(disk).bytes, "files": [used.files, used.files_limit]}


def files(fs: Path) -> Facts:
    disk = begin(fs / "box", files=50)
    seen: Facts = {}

    def make() -> tuple[int, int]:
        for number in range(100):
            try:
                (fs / "box" / str(number)).touch()
            except OSError as error:
                return number, error.errno or 0
        return 100, 0

    def fill() -> None:
        seen["made"], seen["refused"] = as_nobody(make)

    return {"reached": Watched(disk).said(fill)[-1]["reached"], **seen}


def privileged(fs: Path) -> Facts:
    disk = begin(fs / "box", MIB)
    seen: Facts = {}

    def fill() -> None:
        seen["written"], _ = write(fs / "box" / "big", 2 * MIB)

    return {"reached": Watched(disk).said(fill)[-1]["reached"], **seen}


def late(fs: Path) -> Facts:
    disk = begin(fs / "box", MIB)
    write(fs / "box" / "big", 2 * MIB)
    return {"said": Watched(disk).said()}


def ends(fs: Path) -> Facts:
    disk = begin(fs / "box", MIB)
    as_nobody(lambda: write(fs / "box" / "small", 8192))
    seen: Facts = {"kept": limit.end(disk), "limit after": quota(disk).most_bytes}
    kept = [records.holders(str(STATE))]
    seen["written after"], _ = as_nobody(lambda: write(fs / "box" / "big", 2 * MIB))
    limit.sweep(str(STATE), lambda holder: False)
    kept.append(records.holders(str(STATE)))
    shutil.rmtree(fs / "box")
    limit.sweep(str(STATE), lambda holder: False)
    seen["records"] = [*kept, records.holders(str(STATE))]
    empty = begin(fs / "empty", holder="empty")
    limit.end(empty)
    return seen | {"empty": [records.holders(str(STATE)), project_of(fs / "empty")]}


def project_of(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return calls.project_of(fd)
    finally:
        os.close(fd)


def why_not(directory: Path, holder: str) -> CannotLimit:
    try:
        begin(directory, holder=holder)
    except CannotLimit as error:
        return error
    raise AssertionError("it was let pass")


def refusals(fs: Path) -> Facts:
    (fs / "theirs").mkdir()
    fd = os.open(fs / "theirs", os.O_RDONLY)
    calls.set_project(fd, 77)
    os.close(fd)
    (fs / "full").mkdir()
    (fs / "full" / "file").touch()
    begin(fs / "box", holder="first")
    return {
        "theirs": str(why_not(fs / "theirs", "a")),
        "limited": str(why_not(fs / "box", "b")),
        "full": str(why_not(fs / "full", "c")),
        "projects": [project_of(fs / "theirs"), project_of(fs / "box")],
        "records": records.holders(str(STATE)),
    }


def not_enforced(fs: Path) -> Facts:
    subprocess.run(["umount", fs], check=True)
    mount("noquota")
    why = why_not(fs / "box", "me")
    return {"why": str(why), "remedy": why.remedy, "memory": str(why_not(Path("/dev/shm/box"), "me"))}


def again(fs: Path) -> Facts:
    disk = begin(fs / "box", MIB)
    limits = [quota(disk).most_bytes]
    fd = os.open(fs / "box", os.O_RDONLY)
    calls.set_quota(fd, disk["project"], 0, 0)
    os.close(fd)
    limits.append(quota(disk).most_bytes)
    limit.again(disk)
    return {"limits": [*limits, quota(disk).most_bytes], "twice": begin(fs / "box", MIB) == disk}


def fails(fs: Path) -> Facts:
    seen: Facts = {}
    for name, module, after in (
        ("set_project", calls, False),
        ("set_quota", calls, False),
        ("write", records, False),
        ("set_quota", calls, True),
    ):
        whole, failed = getattr(module, name), False

        def fail(*arguments: object, whole: Any = whole, after: bool = after) -> None:
            nonlocal failed
            if failed:
                return whole(*arguments)  # it is what undoes it that calls it now
            failed = True
            if after:
                whole(*arguments)
            raise OSError(errno.EIO, "as the test wants it")

        setattr(module, name, fail)
        try:
            why = str(why_not(fs / "box", "me")).removeprefix("project: ")
        finally:
            setattr(module, name, whole)
        facts = {"why": why, "project": project_of(fs / "box"), "records": records.holders(str(STATE))}
        seen[f"after {name}" if after else name] = facts
    seen["number taken"] = number_taken(fs)
    return seen


def number_taken(fs: Path) -> Facts:
    """Two who choose the same: the second takes another one."""
    first = begin(fs / "one", holder="one")
    numbers = iter([first["project"] - project.RANGE.start, 5])
    chance, os.urandom = os.urandom, lambda size: next(numbers).to_bytes(size, "little")  # type: ignore[assignment]
    known = calls.quota
    looks = iter([calls.Quota(0, 0, 0, 0)])  # as it looks before the first one has set anything
    calls.quota = lambda fd, number: next(looks, None) or known(fd, number)  # type: ignore[assignment]
    try:
        second = begin(fs / "two", holder="two")
    finally:
        os.urandom, calls.quota = chance, known
    return {
        "other": second["project"] == project.RANGE.start + 5,
        "projects": len({project_of(fs / "one"), project_of(fs / "two")}),
    }


def probes(fs: Path) -> Facts:
    rows = probe.probe(str(fs), str(STATE))
    (fs / "lost+found").rmdir()
    return {"rows": rows, "left": [records.holders(str(STATE)), os.listdir(fs)]}


STORIES: dict[str, Callable[[Path], Facts]] = {
    "writes": writes,
    "files": files,
    "privileged": privileged,
    "late": late,
    "ends": ends,
    "refusals": refusals,
    "not enforced": not_enforced,
    "again": again,
    "fails": fails,
    "probes": probes,
}

if __name__ == "__main__":
    main()
