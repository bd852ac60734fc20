"""What becomes of a run whose health check has failed, where a story would take long to come there."""

from __future__ import annotations

import signal

from fakes import a_process, a_task

from thermos.core.evolve import classify, evolve
from thermos.core.fold import Exit
from thermos.core.records import Checked, Exited, Launched, Signalled, StageEntered, Started
from thermos.core.state import State, initial
from thermos.core.task import HealthCheck, TcpCheck

CHECK = HealthCheck(tcp=TcpCheck("http"), initial_interval=0.0)


def a_running_one(max_failures: int = 1) -> State:
    state = initial(a_task(a_process("a", health=CHECK, max_failures=max_failures)))
    for record in (
        StageEntered(at=0.0, stage="ACTIVE", reason=""),
        Launched(at=0.0, process=0, run=0),
        Started(at=0.0, process=0, run=0, pid=1, ticks=1),
    ):
        evolve(state, record)
    return state


def test_a_run_that_fails_its_check_while_it_is_stopped_for_another_reason_is_not_stopped_again() -> None:
    state = a_running_one()
    evolve(state, Signalled(at=1.0, process=0, run=0, signal=signal.SIGTERM))
    evolve(state, Checked(at=2.0, process=0, run=0, ok=False))
    assert state.processes[0].runs[0].unhealthy
    assert not state.sick


def test_the_record_that_made_it_unhealthy_is_the_cause_of_its_stop() -> None:
    state = a_running_one()
    evolve(state, Checked(at=2.0, process=0, run=0, ok=False))
    assert state.sick == {0: state.seq}


def test_what_nobody_saw_end_is_lost_however_unhealthy_it_was() -> None:
    assert classify(Exit(source="unknown"), signal.SIGTERM, unhealthy=True) == "LOST"


def test_what_was_stopped_for_its_health_has_failed_however_it_ended() -> None:
    assert classify(Exit(source="waited", code=0), signal.SIGTERM, unhealthy=True) == "FAILED"
    assert classify(Exit(source="waited", signal=signal.SIGTERM), signal.SIGTERM, unhealthy=True) == "FAILED"


def ended(state: State, *, asked: bool) -> tuple[str, str]:
    """How its run is said to have ended, where it exits with 0."""
    evolve(state, Checked(at=2.0, process=0, run=0, ok=False, why="refused"))
    if asked:
        evolve(state, Signalled(at=2.0, process=0, run=0, signal=signal.SIGTERM))
    evolve(state, Exited(at=3.0, process=0, run=0, source="waited", code=0))
    run = state.processes[0].runs[0]
    assert run.exit is not None
    assert not state.sick
    return run.state, run.exit.why


def test_an_end_for_its_health_says_so() -> None:
    assert ended(a_running_one(), asked=True) == ("FAILED", "its health check failed: refused")


def test_what_ended_by_itself_before_it_was_asked_is_what_its_exit_says() -> None:
    assert ended(a_running_one(), asked=False) == ("SUCCESS", "")


def test_an_unhealthy_run_that_ends_when_the_task_does_is_not_tried_again() -> None:
    state = a_running_one(max_failures=2)
    evolve(state, Checked(at=2.0, process=0, run=0, ok=False))
    evolve(state, Signalled(at=2.0, process=0, run=0, signal=signal.SIGTERM))
    evolve(state, StageEntered(at=3.0, stage="CLEANING", reason="", result="KILLED"))
    evolve(state, Exited(at=4.0, process=0, run=0, source="waited", code=0))
    assert state.processes[0].status == "stopped"
