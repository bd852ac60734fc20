"""Links that a task lays for who starts its next process: they lead nowhere but through the files of its own mounts."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox import syscalls

pytestmark = pytest.mark.root

#: Starts a sandbox, lays a link in it, and starts a process there while it has a directory of the host's open.
PROGRAM = """
import json, os, select, sys
from sandbox import spawn, syscalls
from sandbox.plan import plan
from sandbox.spec import Spec, Users

asked = json.loads(sys.argv[1])
users = Users.range(524288) if asked["users"] else None
names = ("pid", "mount", *(["user"] if users else []))
spec = Spec(names, users=users, sandbox=asked["sandbox"], sandbox_id_mapped=bool(users), read_only=True, dev=True)
steps = plan(spec)
if steps.clone:
    syscalls.unshare(steps.clone)
first = spawn.fork_first(steps, ["first"])
first.go()
first.wait()
init = os.pidfd_open(first.pid)
for number in range(3, 40):
    try:
        os.fstat(number)
    except OSError:
        break
assert os.open(asked["outside"], os.O_RDONLY) == number
user = asked["user"]
place = spawn.Place(asked["sandbox"], asked["logs"], (), (user, user, ()), init, steps.enter)
os.symlink(asked["link"].format(number), asked["sandbox"] + "/link")
if asked["null"]:
    before = spawn.fork(place.__class__(asked["sandbox"], "a", (), (0, 0, ()), init, steps.enter), print)
    before.go(spawn.Order(["/bin/sh", "-c", asked["null"]], {"PATH": "/usr/bin:/bin"}))
    before.wait()
    os.waitpid(before.pid, 0)
if asked["late"]:
    fork_sibling = syscalls.fork_sibling
    def late():
        pid = fork_sibling()
        if pid and asked["late"] == "never":
            os.kill(os.getpid(), 9)
        if pid:  # it says nothing until the real one has failed, or has had the time to
            real = select.poll()
            real.register(os.pidfd_open(pid))
            real.poll(300)
        return pid
    syscalls.fork_sibling = late
child = spawn.fork(place, lambda *failure: None)
child.go(spawn.Order(["/bin/sh", "-c", asked["script"]], {"PATH": "/usr/bin:/bin"}, asked["cwd"]))
try:
    child.wait()
    print(json.dumps(["executed"]))
except spawn.Failure as failure:
    print(json.dumps([failure.step, failure.errno, failure.text]))
os.waitpid(child.pid, 0)
if asked["late"] == "never":
    os.wait()  # whom nobody knows
os.kill(first.pid, 9)
os.waitpid(first.pid, 0)
"""


def attempt(directory: Path, outside: Path, **asked: Any) -> list[Any]:
    words = {
        "sandbox": str(directory),
        "outside": str(outside),
        "logs": ".logs/p/0",
        "cwd": "",
        "user": 0,
        "null": "",
        "users": False,
        "late": "",
    }
    words |= {"script": "touch here", "link": "/proc/self/fd/{}"} | asked
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(words)], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    answer: list[Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host's where everybody may write."""
    there = tmp_path / "outside"
    there.mkdir()
    there.chmod(0o1777)
    return there


@pytest.fixture
def mine(directory: Path) -> Path:
    directory.chmod(0o777)
    return directory


@pytest.mark.parametrize("users", [False, True])
@pytest.mark.parametrize("user", [0, 65534])
@pytest.mark.parametrize("link", ["/proc/self/fd/{}", "/proc/self/fd/{}/../outside", "/proc/thread-self/fd/{}/."])
def test_a_working_directory_is_not_one_that_the_parent_has_open(
    mine: Path, outside: Path, user: int, link: str, users: bool
) -> None:
    step, number, text = attempt(mine, outside, user=user, cwd="link", link=link, users=users)
    assert (step, number) == ("enter its working directory", errno.ELOOP)
    assert "through what a process has open (link)" in text
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("users", [False, True])
@pytest.mark.parametrize("user", [0, 65534])
@pytest.mark.parametrize("logs", ["link", "link/p", "link/p/0"])
def test_logs_are_not_made_in_a_directory_that_the_parent_has_open(
    mine: Path, outside: Path, user: int, logs: str, users: bool
) -> None:
    step, number, text = attempt(mine, outside, user=user, logs=logs, users=users)
    assert (step, number) == ("open its logs", errno.ELOOP)
    assert "through what a process has open" in text
    assert list(outside.iterdir()) == []


def test_a_child_that_fails_sooner_than_its_pid_is_told_is_known_and_reaped(mine: Path, outside: Path) -> None:
    step, _, text = attempt(mine, outside, logs="link/p", users=True, late="late")
    assert step == "open its logs"
    assert text.endswith("has open (link/p)")


def test_a_child_whose_pid_was_never_told_executes_nothing(mine: Path, outside: Path) -> None:
    step, _, text = attempt(mine, outside, users=True, late="never")
    assert (step, text) == ("start", "it was killed before it could execute anything")
    assert not (mine / "here").exists()


def test_a_working_directory_may_be_a_link_within(mine: Path, outside: Path) -> None:
    (mine / "below").mkdir(mode=0o777)
    assert attempt(mine, outside, cwd="link", link="below") == ["executed"]
    assert (mine / "below/here").exists()


@pytest.mark.parametrize(
    "null",
    [
        "rm /dev/null; ln -s /proc/self/fd/3 /dev/null",
        "rm /dev/null; mkfifo /dev/null",
        "rm /dev/null; echo bait > /dev/null",
    ],
)
def test_standard_input_is_a_device_or_nothing_is_executed(mine: Path, outside: Path, null: str) -> None:
    step, number, _ = attempt(mine, outside, null=null)
    assert step == "open its logs"
    assert number in (errno.ELOOP, errno.EINVAL)
    assert not (mine / "here").exists()


def test_who_is_born_in_a_group_has_no_directory_of_the_hosts_open(group: dict[str, str]) -> None:
    if "unified" not in group:
        pytest.skip("needs a version 2 tree")
    before = set(os.listdir("/proc/self/fd"))
    reader, writer = os.pipe()
    pid = syscalls.fork_into(group["unified"])
    if pid == 0:
        kinds = []
        for name in os.listdir("/proc/self/fd"):
            try:
                kinds.append(stat.S_ISDIR(os.fstat(int(name)).st_mode) and name not in before)
            except OSError:
                pass  # the one that listed them
        os.write(writer, b"y" if any(kinds) else b"n")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 1) == b"n"
    os.close(reader)
    os.close(writer)
    assert set(os.listdir("/proc/self/fd")) == before
