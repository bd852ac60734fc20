"""One of the task's own is stopped with SIGSTOP: processes run on, and with SIGCONT nothing is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, gone

pytestmark = pytest.mark.root


def waiting(name: str, then: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "cmdline": RAN + AWAIT.format(f"go-{name}") + then, **fields}


PROCESSES = [
    waiting("first", "exit 3", max_failures=2, min_duration=0),
    {"name": "second", "cmdline": RAN, "after": ["first"]},
    {"name": "last", "cmdline": RAN, "final": True},
]


def both(program: Program) -> tuple[int, int]:
    """Keeper and supervisor of a task whose first process runs."""
    until(lambda: program.ran() == ["first 0"] and program.started(), "first did not start")
    return program.keeper(), program.supervisor()


def asks(pid: int) -> bool:
    """Whether a command has a connection, or had one and is gone."""
    try:
        return any(os.readlink(fd).startswith("socket:") for fd in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return gone(pid)


@pytest.mark.parametrize("which", ["keeper", "supervisor", "both"])
def test_what_ends_while_they_are_stopped_is_known_when_they_go_on(program: Program, which: str) -> None:
    run = program.begin([{**PROCESSES[0], "max_failures": 1}, PROCESSES[2]])
    keeper, supervisor = both(program)
    stopped = {"keeper": [keeper], "supervisor": [supervisor], "both": [keeper, supervisor]}[which]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    first = until(program.started).pid
    program.touch("go-first")
    until(lambda: gone(first), "first did not end")
    if which != "supervisor":
        # Who may not be asked does not know better, and says what it knows.
        assert program.status()["supervised"] is True
        assert program.runs()["first"][0]["state"] == "RUNNING"
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert run.wait() == 1
    assert program.ran() == ["first 0", "last 0"]
    assert program.exits("first") == [(3, None, "waited")]


@pytest.mark.parametrize("which", ["keeper", "supervisor"])
def test_a_kill_waits_for_who_is_stopped_and_is_not_lost(program: Program, which: str) -> None:
    run = program.begin(PROCESSES)
    stopped = dict(zip(("keeper", "supervisor"), both(program), strict=True))[which]
    os.kill(stopped, signal.SIGSTOP)
    kill = program.start("kill", program.id)
    if which == "keeper":  # the supervisor writes it down, and nobody can carry it out
        until(lambda: program.status()["state"] == "CLEANING", "the kill is not on record")
    else:
        until(lambda: asks(kill.pid), "the kill was not asked for")
    assert kill.poll() is None
    assert not gone(until(program.started).pid)
    os.kill(stopped, signal.SIGCONT)
    assert kill.wait() == 0
    assert run.wait() == 143
    assert program.ran() == ["first 0", "last 0"]
    assert program.exits("first") == [(None, "SIGTERM", "waited")]
    assert program.status()["state"] == "KILLED"
