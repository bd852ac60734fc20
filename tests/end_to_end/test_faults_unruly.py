"""Processes that do not behave: the task ends when it is told to, and nothing of them is left."""

from __future__ import annotations

import fcntl
import sys
from typing import Any

import pytest
from deadline import until
from real_program import RAN, Program, Started

pytestmark = pytest.mark.root

#: Two forks and a session of its own, deaf to what can be ignored.
DAEMON = "trap '' TERM HUP INT; echo > up; while :; do sleep 0.01; done"
DOUBLE_FORK = f'( setsid bash -c "{DAEMON}" & ) & wait; until [ -e up ]; do sleep 0.01; done; '

#: Each child takes the place of its parent, in a session of its own, as fast as it can; not for ever, should all fail.
HYDRA = """
import fcntl, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
up = open('up', 'w')
fcntl.flock(up, fcntl.LOCK_EX)
if os.fork():
    signal.pause()
end = time.monotonic() + 90
while time.monotonic() < end and not os.fork():
    os.setsid()
"""

#: As many as there may be, each in a session of its own, and another one when one has ended.
BOMB = """
import fcntl, os, resource, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open('lock', 'w')
fcntl.flock(lock, fcntl.LOCK_EX)
if os.getuid():
    resource.setrlimit(resource.RLIMIT_NPROC, (30, 30))
while True:
    try:
        if not os.fork():
            os.setsid()
    except OSError:
        open('up', 'w').close()
        time.sleep(0.01)
"""

#: Writes as fast as it can.
FLOOD = """
import os
os.open('up', os.O_CREAT)
while True:
    os.write(1, b'x' * 65536)
"""

#: Its parent waits for it inside vfork, in an uninterruptible sleep (killable since Linux 2.6.25).
VFORK = """
import ctypes, signal, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
open('up', 'w').close()
ctypes.PyDLL(None).vfork()
time.sleep(1000)
"""


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def begin(program: Program, *words: str, **process: Any) -> Started:
    """A task of one process that makes the file `up`, and a finalizer."""
    run = program.begin(
        [{"name": "p", **process}, {"name": "last", "cmdline": RAN, "final": True}],
        *words,
        finalization_wait=2,
        resources={"pids": 30} if "none" not in words else {},
    )
    until((program.sandbox / "up").exists, "it did not begin")
    until(program.started, "it was not told")
    return run


def nobody_left(program: Program) -> bool:
    """Whether all that one process forked is gone: they share its lock, however fast they come and go."""
    for path in (program.sandbox / "up", program.sandbox / "lock"):
        if path.exists():
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
    return not program.alive()


MODES = pytest.mark.parametrize("mode", ["strict", "none"])


@MODES
@pytest.mark.parametrize(
    ("name", "process"),
    [
        ("hydra", {"argv": python(HYDRA)}),
        ("flood", {"argv": python(FLOOD)}),
        ("closed", {"cmdline": "exec 0<&- 1>&- 2>&-; trap '' TERM; : > up; while :; do :; done"}),
        ("a daemon", {"cmdline": DOUBLE_FORK + "sleep 1000"}),
        ("vfork", {"argv": python(VFORK)}),
        ("stopped", {"cmdline": "echo > up; kill -STOP $$"}),
    ],
)
def test_it_ends_when_it_is_told_to(program: Program, mode: str, name: str, process: dict[str, Any]) -> None:
    run = begin(program, "--isolation", mode, **process)
    assert program.done("kill", program.id).returncode == 0
    assert run.wait() == 143
    assert program.ran() == ["last 0"]
    until(lambda: nobody_left(program), "something of it is left")


def test_a_fork_bomb_within_its_limit_ends_when_it_is_told_to(program: Program) -> None:
    run = begin(program, argv=python(BOMB))
    assert program.done("kill", program.id).returncode == 0
    assert run.wait() == 143
    until(lambda: nobody_left(program), "something of it is left")


def test_a_plain_users_fork_bomb_without_a_sandbox_ends_when_it_is_told_to(nobody: Program) -> None:
    """There is nothing that holds it together: each is found and killed by itself."""
    its_python = nobody._command(())[0]
    run = begin(nobody, "--isolation", "none", argv=[its_python, "-c", BOMB])
    assert nobody.done("kill", nobody.id).returncode == 0
    assert run.wait() == 143
    until(lambda: nobody_left(nobody), "something of it is left")
