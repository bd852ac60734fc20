"""What a supervisor that has replayed a journal does again, and what it gives up for lost."""

from __future__ import annotations

import signal

from fakes import a_process, a_task

from thermos.core.decide import outstanding, reconcile
from thermos.core.effects import End, Signal
from thermos.core.evolve import evolve
from thermos.core.records import Emptied, Exited, Launched, Record, Signalled, StageEntered, Started, Supervised
from thermos.core.state import State, initial

RUNNING: tuple[Record, ...] = (
    Supervised(at=0.0, boot_id="one", pid=1, epoch=0.0),
    StageEntered(at=0.0, stage="ACTIVE", reason=""),
    Launched(at=1.0, process=0, run=0),
    Started(at=2.0, process=0, run=0, pid=5, ticks=6),
)
STOPPED = Signalled(at=3.0, process=0, run=0, signal=signal.SIGTERM)


def folded(*records: Record) -> State:
    state = initial(a_task(a_process("p")))
    for record in records:
        evolve(state, record)
    return state


def test_the_end_is_asked_for_again() -> None:
    state = folded(
        StageEntered(at=0.0, stage="ACTIVE", reason=""),
        StageEntered(at=1.0, stage="CLEANING", reason=""),
        StageEntered(at=2.0, stage="FINALIZING", reason=""),
        StageEntered(at=3.0, stage="FAILED", reason=""),
    )
    assert outstanding(state) == (End(4),)


def test_a_stop_signal_is_sent_again_under_the_number_of_its_decision() -> None:
    assert outstanding(folded(*RUNNING, STOPPED)) == (Signal(0, 0, signal.SIGTERM, 5),)


def test_what_is_left_of_a_run_gets_its_signals_again_too() -> None:
    children = Exited(at=4.0, process=0, run=0, source="waited", code=0, lingers=True)
    state = folded(*RUNNING, STOPPED, children)
    assert outstanding(state) == (Signal(0, 0, signal.SIGTERM, 5),)
    evolve(state, Signalled(at=5.0, process=0, run=0, signal=signal.SIGKILL))
    assert outstanding(state) == (Signal(0, 0, signal.SIGKILL, 7),)
    evolve(state, Emptied(at=6.0, process=0, run=0))
    assert outstanding(state) == ()


def test_what_was_being_stopped_is_lost_like_what_ran() -> None:
    (lost,) = reconcile(folded(*RUNNING, STOPPED), set(), "one", 9.0)
    assert (lost.process, lost.run, lost.source) == (0, 0, "unknown")
    killed = Signalled(at=3.5, process=0, run=0, signal=signal.SIGKILL)
    assert len(reconcile(folded(*RUNNING, STOPPED, killed), set(), "one", 9.0)) == 1


def test_why_a_run_was_lost_is_kept_with_it() -> None:
    state = folded(*RUNNING)
    (lost,) = reconcile(state, set(), "one", 9.0)
    assert isinstance(lost, Exited)
    evolve(state, lost)
    exit = state.processes[0].runs[0].exit
    assert exit is not None
    assert exit.why == lost.why != ""


def test_a_supervisor_of_another_boot_is_noticed_by_the_one_after_it() -> None:
    again = Supervised(at=9.0, boot_id="two", pid=1, epoch=0.0)
    state = folded(*RUNNING, again)
    assert "keeper died" in reconcile(state, set(), "two", 9.0)[0].why
    assert "rebooted" in reconcile(state, set(), "three", 9.0)[0].why
