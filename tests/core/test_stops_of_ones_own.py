"""Stops that have a time of their own, and what is left of a run of which only the main process is asked."""

from __future__ import annotations

import signal

from fakes import a_process, a_task

from thermos.core.evolve import evolve
from thermos.core.records import Checked, Emptied, Exited, KillRequested, Launched, Signalled, StageEntered, Started
from thermos.core.state import State, initial
from thermos.core.task import Condition, HealthCheck, Process, Stop, TcpCheck

CHECK = HealthCheck(tcp=TcpCheck("http"), initial_interval=0.0)


def running(*processes: Process) -> State:
    state = initial(a_task(*processes))
    evolve(state, StageEntered(at=0.0, stage="ACTIVE", reason=""))
    for number, process in enumerate(processes):
        if not process.conditions:
            start(state, number, 0, 0.0)
    return state


def start(state: State, number: int, run: int, at: float) -> None:
    evolve(state, Launched(at=at, process=number, run=run))
    evolve(state, Started(at=at, process=number, run=run, pid=1, ticks=1))


def test_the_time_of_a_run_that_is_over_is_not_that_of_the_next_one() -> None:
    """It lies below another time on the heap when its run ends, and comes up when the next run is being stopped."""
    state = running(
        a_process("quick", max_failures=0, health=CHECK, stop=Stop(timeout=5.0)),
        a_process("slow", max_failures=0, health=CHECK, stop=Stop(timeout=20.0)),
    )
    for number in (0, 1):
        evolve(state, Checked(at=0.0, process=number, run=0, ok=False))
        evolve(state, Signalled(at=0.0, process=number, run=0, signal=signal.SIGTERM))
    evolve(state, Exited(at=1.0, process=1, run=0, source="waited", code=0))
    start(state, 1, 1, 2.0)
    evolve(state, Checked(at=3.0, process=1, run=1, ok=False))
    evolve(state, Signalled(at=3.0, process=1, run=1, signal=signal.SIGTERM))
    assert state.overdue[0] == (5.0, 0, 0)
    evolve(state, Exited(at=4.0, process=0, run=0, source="waited", code=0))
    assert state.overdue[0] == (23.0, 1, 1)


def test_children_of_a_main_process_that_is_asked_alone_have_no_time_and_nothing_is_overdue() -> None:
    state = running(a_process("a", stop=Stop(to="main", timeout=5.0)))
    evolve(state, Signalled(at=1.0, process=0, run=0, signal=signal.SIGTERM))
    evolve(state, Exited(at=2.0, process=0, run=0, source="waited", code=0, lingers=True))
    assert (list(state.lingering), list(state.spared), state.overdue) == ([0], [], [])
    evolve(state, Emptied(at=3.0, process=0, run=0))
    assert not state.busy


def test_what_was_stopped_frees_nobody_and_skips_nobody() -> None:
    state = running(
        a_process("a"),
        a_process("b", conditions=(Condition("a", "completed"),)),
        a_process("c", conditions=(Condition("a", "failed"),)),
    )
    evolve(state, KillRequested(at=1.0, by="somebody"))
    evolve(state, StageEntered(at=1.0, stage="CLEANING", reason="", result="KILLED"))
    evolve(state, Signalled(at=1.0, process=0, run=0, signal=signal.SIGTERM))
    evolve(state, Exited(at=2.0, process=0, run=0, source="waited", signal=signal.SIGTERM))
    assert [process.status for process in state.processes] == ["stopped", "waiting", "waiting"]
    assert [process.unmet for process in state.processes] == [0, 1, 1]
