"""What single records mean, and which of them are refused."""

from __future__ import annotations

import copy
import signal

import pytest
from fakes import a_process, a_task

from thermos.core.decide import PATIENCE, decide, effect_of, outstanding, reconcile
from thermos.core.effects import End, Launch, Signal
from thermos.core.evolve import FAULTS, classify, evolve
from thermos.core.fold import Exit
from thermos.core.records import (
    Abandoned,
    Emptied,
    Exited,
    KillRequested,
    Launched,
    Record,
    Refused,
    Sandboxed,
    Signalled,
    StageEntered,
    Started,
    Supervised,
)
from thermos.core.state import KEPT_RUNS, RUN_MOVES, STAGE_MOVES, IllegalMove, State, initial
from thermos.core.status import describe

ACTIVE = StageEntered(at=0.0, stage="ACTIVE", reason="")
LAUNCHED = Launched(at=1.0, process=0, run=0)
STARTED = Started(at=2.0, process=0, run=0, pid=5, ticks=6)


def exited(code: int | None = 0, **more: object) -> Exited:
    return Exited(**{"at": 3.0, "process": 0, "run": 0, "source": "waited", "code": code, **more})  # type: ignore[arg-type]


def folded(*records: Record, **process: object) -> State:
    state = initial(a_task(a_process("p", **process)))  # type: ignore[arg-type]
    for record in records:
        evolve(state, record)
    return state


@pytest.mark.parametrize("signo", [s for s in signal.Signals if s not in FAULTS])
def test_death_by_a_signal_from_outside_is_killed(signo: int) -> None:
    assert classify(Exit(source="waited", signal=signo), asked=None) == "KILLED"


@pytest.mark.parametrize("name", ["SEGV", "ABRT", "BUS", "ILL", "FPE", "SYS", "TRAP", "XCPU", "XFSZ"])
def test_death_by_its_own_fault_is_failed_also_while_it_is_being_stopped(name: str) -> None:
    signo = signal.Signals[f"SIG{name}"]
    assert classify(Exit(source="waited", signal=signo), asked=None) == "FAILED"
    assert classify(Exit(source="waited", signal=signo), asked=signal.SIGTERM) == "FAILED"
    assert classify(Exit(source="waited", signal=signo), asked=signo) == "KILLED"


def test_an_oom_kill_is_failed_unless_we_were_killing_it_anyway() -> None:
    oom = Exit(source="waited", signal=signal.SIGKILL, oom=True)
    assert classify(oom, asked=None) == "FAILED"
    assert classify(oom, asked=signal.SIGTERM) == "FAILED"
    assert classify(oom, asked=signal.SIGKILL) == "KILLED"


def test_an_exit_code_speaks_for_itself_also_while_it_is_being_stopped() -> None:
    assert classify(Exit(source="waited", code=0), asked=signal.SIGTERM) == "SUCCESS"
    assert classify(Exit(source="waited", code=143), asked=signal.SIGTERM) == "FAILED"


def test_what_nobody_saw_is_lost_and_never_a_failure() -> None:
    state = folded(ACTIVE, LAUNCHED, STARTED, exited(None, source="unknown"))
    process = state.processes[0]
    assert process.runs[0].state == "LOST"
    assert (process.failures, process.successes, process.status) == (0, 0, "waiting")


@pytest.mark.parametrize(
    "record",
    [
        StageEntered(at=9.0, stage="ACTIVE", reason=""),
        StageEntered(at=9.0, stage="SUCCESS", reason="", result="SUCCESS"),
        Launched(at=9.0, process=0, run=0),
        Launched(at=9.0, process=0, run=1),
        Launched(at=9.0, process=1, run=0),
        Started(at=9.0, process=0, run=0, pid=5, ticks=6),
        Started(at=9.0, process=0, run=1, pid=5, ticks=6),
        Started(at=9.0, process=7, run=0, pid=5, ticks=6),
        Exited(at=9.0, process=0, run=1, source="waited", code=0),
        Emptied(at=9.0, process=0, run=0),
        Signalled(at=9.0, process=0, run=1, signal=15),
        Abandoned(at=9.0, process=7, run=0),
    ],
    ids=str,
)
def test_a_record_that_does_not_fit_is_refused_and_changes_nothing(record: Record) -> None:
    """PL-2: what does not run cannot end, what has finished cannot be set back."""
    state = folded(ACTIVE, LAUNCHED, STARTED)
    before = copy.deepcopy(state)
    with pytest.raises(IllegalMove):
        evolve(state, record)
    assert state == before


@pytest.mark.parametrize(
    "record", [STARTED, exited(), exited(1), Refused(at=4.0, process=0, run=0, step="exec", errno=2, message="")]
)
def test_what_is_told_again_after_the_end_is_refused(record: Record) -> None:
    state = folded(ACTIVE, LAUNCHED, STARTED, exited())
    with pytest.raises(IllegalMove):
        evolve(state, record)


def test_a_process_that_waits_for_another_cannot_be_launched() -> None:
    """PL-3."""
    state = initial(a_task(a_process("a"), a_process("b", after=("a",))))
    evolve(state, ACTIVE)
    with pytest.raises(IllegalMove):
        evolve(state, Launched(at=1.0, process=1, run=0))


def test_an_exit_may_be_heard_of_before_its_start() -> None:
    state = folded(ACTIVE, LAUNCHED, exited())
    assert state.processes[0].status == "finished"


def test_the_tables_of_moves_name_every_state_and_lead_nowhere_else() -> None:
    for moves in (RUN_MOVES, STAGE_MOVES):
        for targets in moves.values():
            assert set(targets) <= set(moves)


def test_every_record_has_a_meaning() -> None:
    records: list[Record] = [
        Supervised(at=0.0, boot_id="b", pid=1, epoch=2.0),
        Sandboxed(at=0.1, init=7, got={"pid": "private"}, missing={"net": "why"}),
        ACTIVE,
        LAUNCHED,
        STARTED,
        Signalled(at=2.1, process=0, run=0, signal=1, stop=False),
        KillRequested(at=2.2, by="me", wait=5.0),
        Signalled(at=2.3, process=0, run=0, signal=15),
        Signalled(at=2.4, process=0, run=0, signal=9),
        exited(None, signal=9, lingers=True),
        Emptied(at=3.1, process=0, run=0),
    ]
    state = folded(*records)
    assert state.seq == len(records)
    assert (state.boot_id, state.epoch, state.init, state.got, state.missing) == (
        "b",
        2.0,
        7,
        {"pid": "private"},
        {"net": "why"},
    )
    assert (state.kill_at, state.kill_wait, state.forced) == (2.2, 5.0, False)
    assert state.processes[0].status == "stopped"


def test_a_signal_that_is_not_meant_to_end_a_run_ends_nothing() -> None:
    state = folded(ACTIVE, LAUNCHED, STARTED, Signalled(at=2.1, process=0, run=0, signal=1, stop=False))
    assert list(state.running) == [0]
    assert state.processes[0].runs[0].signalled is None


def test_the_last_runs_are_kept_and_failures_longest() -> None:
    state = folded(ACTIVE, max_failures=0)
    for run in range(100):
        evolve(state, Launched(at=run * 100.0, process=0, run=run))
        evolve(state, Started(at=run * 100.0, process=0, run=run, pid=1, ticks=1))
        death = {"code": 3} if run in (10, 20) else {"code": None, "signal": 15}
        evolve(state, exited(**{"run": run, "at": run * 100.0 + 1, **death}))  # type: ignore[arg-type]
    process = state.processes[0]
    kept = [run.number for run in process.runs]
    assert kept == [10, 20, *range(100 - KEPT_RUNS + 2, 100)]
    assert (process.launches, process.failures) == (100, 2)


def test_failures_do_not_crowd_out_everything_else() -> None:
    state = folded(ACTIVE, max_failures=0)
    for run in range(100):
        evolve(state, Launched(at=run * 100.0, process=0, run=run))
        death = {"code": 3} if run % 2 else {"code": None, "signal": 15}
        evolve(state, exited(**{"run": run, "at": run * 100.0 + 1, **death}))  # type: ignore[arg-type]
    states = [run.state for run in state.processes[0].runs]
    assert len(states) == KEPT_RUNS
    assert states.count("FAILED") >= KEPT_RUNS // 2
    assert states.count("KILLED") >= KEPT_RUNS // 2 - 1


def test_what_is_learned_late_does_not_turn_back_the_clock() -> None:
    state = folded(Supervised(at=50.0, boot_id="b", pid=1, epoch=0.0), ACTIVE)
    assert state.at == 50.0


def test_effects_follow_from_decisions_only() -> None:
    assert effect_of(LAUNCHED, 4) == Launch(0, 0, 4)
    assert effect_of(Signalled(at=0.0, process=1, run=2, signal=15), 5) == Signal(1, 2, 15, 5)
    assert effect_of(StageEntered(at=0.0, stage="LOST", reason=""), 6) == End(6)
    for fact in (STARTED, exited(), ACTIVE, KillRequested(at=0.0, by="")):
        assert effect_of(fact, 7) is None


def test_a_new_supervisor_asks_again_for_what_may_not_have_been_done() -> None:
    state = folded(ACTIVE, LAUNCHED)
    assert outstanding(state) == (Launch(0, 0, 2),)
    evolve(state, Signalled(at=2.0, process=0, run=0, signal=9))
    assert outstanding(state) == (Launch(0, 0, 2), Signal(0, 0, 9, 3))
    evolve(state, STARTED)
    assert outstanding(state) == (Signal(0, 0, 9, 3),)
    evolve(state, exited(None, signal=9))
    assert outstanding(state) == ()


def test_a_run_nobody_knows_is_lost_and_one_that_never_ran_is_asked_for_again() -> None:
    supervised = Supervised(at=0.0, boot_id="one", pid=1, epoch=0.0)
    running = folded(supervised, ACTIVE, LAUNCHED, STARTED)
    forked = folded(supervised, ACTIVE, LAUNCHED)
    assert reconcile(running, {(0, 0)}, "one", 9.0) == ()
    (lost,) = reconcile(running, set(), "one", 9.0)
    assert (lost.source, lost.code, lost.signal) == ("unknown", None, None)
    assert "keeper died" in lost.why
    assert reconcile(forked, set(), "one", 9.0) == ()
    (lost,) = reconcile(forked, set(), "two", 9.0)
    assert "rebooted" in lost.why


def test_patience_begins_again_with_a_new_supervisor() -> None:
    """The one before may have died before it could send the signal."""
    state = folded(
        ACTIVE,
        LAUNCHED,
        STARTED,
        KillRequested(at=3.0, by="", force=True),
        StageEntered(at=3.0, stage="CLEANING", reason="", result="KILLED"),
        Signalled(at=3.0, process=0, run=0, signal=9),
    )
    assert decide(state, 3.0).wake_at == 3.0 + PATIENCE
    evolve(state, Supervised(at=100.0, boot_id="", pid=1, epoch=0.0))
    assert decide(state, 100.0).records == ()
    assert decide(state, 100.0).wake_at == 100.0 + PATIENCE
    (record,) = decide(state, 100.0 + PATIENCE).records
    assert isinstance(record, Abandoned)


def test_every_signal_can_be_put_into_words() -> None:
    for number in (9, 11, 34, 35, 50, 64):
        assert describe(Exit(source="waited", signal=number)).startswith("killed by SIG")
