"""The program that watches a task's disk space is stopped by somebody: it outlives nobody for that."""

from __future__ import annotations

import os
import signal

import pytest
from deadline import until
from real_program import AWAIT, Program, gone

pytestmark = pytest.mark.root


def watchers(program: Program) -> list[int]:
    return [pid for pid, command in program.alive().items() if "sandbox.disk.__main__" in command]


def test_a_watcher_that_was_stopped_dies_with_the_supervisor_that_it_worked_for(program: Program) -> None:
    process = {"name": "p", "cmdline": AWAIT.format("go"), "min_duration": 0}
    program.begin([process], resources={"disk": "16MiB"})
    until(lambda: program.directory.exists() and program.started())
    (stopped,) = until(lambda: [pid for pid in watchers(program) if watches(pid)])
    os.kill(stopped, signal.SIGSTOP)
    program.kill(program.keeper(), program.supervisor())
    until(lambda: gone(stopped), "it is still there")
    program.touch("go")
    assert program.done("resume", program.id).returncode == 0


def watches(pid: int) -> bool:
    """Whether it can be stopped: it is past what Python reads at its start, and has said with whom it dies."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return any(not link.startswith(("pipe:", "/dev/", "socket:")) and ".py" not in link for link in links)
