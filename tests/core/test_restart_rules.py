"""Which rule an end fits, at its edges, and what a restart by a rule is not."""

from __future__ import annotations

import signal

import pytest
from fakes import a_process, a_task

from thermos.core.evolve import evolve, rule_for
from thermos.core.fold import Exit, Run, RunState
from thermos.core.records import Exited, Launched, Signalled, StageEntered, Started
from thermos.core.state import State, initial
from thermos.core.task import Rule


def a_run(seconds: float = 2.0, state: RunState = "FAILED", **how: int) -> Run:
    exit = Exit(source="waited", **how) if how else Exit(source="waited", code=1)
    return Run(number=0, state=state, launched_at=0.0, launched_by=1, started_at=0.0, ended_at=seconds, exit=exit)


@pytest.mark.parametrize(
    ("rule", "run", "fits"),
    [
        (Rule(under=2.0), a_run(2.0), False),
        (Rule(under=2.0), a_run(1.9), True),
        (Rule(over=2.0), a_run(2.0), True),
        (Rule(over=2.0), a_run(1.9), False),
        (Rule(codes=((1, 1),), oom=True), a_run(), True),
        (Rule(codes=((2, 3),), oom=True), a_run(), False),
        (Rule(codes=((1, 1),), under=1.0), a_run(), False),
        (Rule(codes=((1, 3),)), a_run(code=3), True),
        (Rule(codes=((1, 3),)), a_run(code=4), False),
        (Rule(codes=((0, 0),)), a_run(state="SUCCESS", code=0), True),
        (Rule(), a_run(state="SUCCESS", code=0), False),
        (Rule(), a_run(state="LOST"), False),
        (Rule(signals=(15,)), a_run(state="KILLED", signal=15), True),
        (Rule(signals=(15,)), a_run(state="KILLED", signal=9), False),
    ],
)
def test_what_a_rule_speaks_of(rule: Rule, run: Run, fits: bool) -> None:
    assert rule_for((rule,), run) == (0 if fits else None)


def test_a_run_that_never_executed_anything_lasted_no_time() -> None:
    run = a_run()
    run.started_at = None
    assert rule_for((Rule(under=0.1),), run) == 0


def running(*rules: Rule) -> State:
    state = initial(a_task(a_process("a", restart=rules)))
    for record in (
        StageEntered(at=0.0, stage="ACTIVE", reason=""),
        Launched(at=0.0, process=0, run=0),
        Started(at=0.0, process=0, run=0, pid=1, ticks=1),
    ):
        evolve(state, record)
    return state


def test_a_rule_excuses_failures_and_nothing_else() -> None:
    killed = evolve(
        running(Rule(signals=(15,))), Exited(at=1.0, process=0, run=0, source="waited", signal=signal.SIGTERM)
    )
    assert (killed.processes[0].excused, killed.processes[0].status) == (0, "waiting")
    failed = evolve(running(Rule(codes=((1, 1),))), Exited(at=1.0, process=0, run=0, source="waited", code=1))
    assert (failed.processes[0].excused, failed.processes[0].status) == (1, "waiting")


def test_what_we_stopped_is_restarted_by_no_rule() -> None:
    state = running(Rule(signals=(15,)))
    evolve(state, StageEntered(at=1.0, stage="CLEANING", reason="", result="KILLED"))
    evolve(state, Signalled(at=1.0, process=0, run=0, signal=signal.SIGTERM))
    evolve(state, Exited(at=1.0, process=0, run=0, source="waited", signal=signal.SIGTERM))
    assert state.processes[0].status == "stopped"
