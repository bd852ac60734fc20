"""The tables of moves are the moves: each of them is made by some record, and no record makes another."""

from __future__ import annotations

import copy
import signal
from collections.abc import Iterator
from functools import cache
from typing import get_args

import pytest
from fakes import a_process, a_task

from thermos.core.evolve import evolve
from thermos.core.fold import Result, Stage
from thermos.core.records import (
    Abandoned,
    Checked,
    Compacted,
    DiskPressure,
    Emptied,
    Exceeded,
    Exited,
    KillRequested,
    Launched,
    Matched,
    Paused,
    Record,
    Refused,
    Sandboxed,
    Signalled,
    StageEntered,
    Started,
    Supervised,
    Unpaused,
    Updated,
    UpdateRequested,
)
from thermos.core.state import RUN_MOVES, STAGE_MOVES, IllegalMove, State, initial
from thermos.core.task import Condition, HealthCheck, TcpCheck

Move = tuple[str | None, str | None]


def any_record(run: int) -> Iterator[Record]:
    """Every kind of record there may be about process 0, its newest run or the task."""
    yield Supervised(at=9.0, boot_id="b", pid=1, epoch=0.0)
    yield Sandboxed(at=9.0, init=None, got={}, missing={})
    yield KillRequested(at=9.0, by="somebody")
    yield DiskPressure(at=9.0, why="full")
    yield Paused(at=9.0, by="somebody")
    yield Unpaused(at=9.0, by="somebody")
    yield UpdateRequested(at=9.0, by="somebody", limits={"ram": 1})
    yield Updated(at=9.0, limits={"ram": 1}, rows=())
    yield Exceeded(at=9.0, why="full")
    for stage in get_args(Stage):
        yield StageEntered(at=9.0, stage=stage, reason="")
    yield Launched(at=9.0, process=0, run=run)
    yield Launched(at=9.0, process=0, run=run + 1)
    yield Started(at=9.0, process=0, run=run, pid=1, ticks=1)
    for errno in (2, 12):
        yield Refused(at=9.0, process=0, run=run, step="exec", errno=errno, message="")
    for lingers in (False, True):
        for code in (0, 1):
            yield Exited(at=9.0, process=0, run=run, source="waited", code=code, lingers=lingers)
        for signo in (signal.SIGTERM, signal.SIGSEGV):
            yield Exited(at=9.0, process=0, run=run, source="waited", signal=signo, lingers=lingers)
        yield Exited(at=9.0, process=0, run=run, source="unknown", lingers=lingers)
    yield Emptied(at=9.0, process=0, run=run)
    for signo in (signal.SIGTERM, signal.SIGKILL):
        yield Signalled(at=9.0, process=0, run=run, signal=signo)
    yield Abandoned(at=9.0, process=0, run=run)
    for ok in (False, True):
        yield Checked(at=9.0, process=0, run=run, ok=ok)
    yield Matched(at=9.0, process=0, run=run, pattern="ready")


@cache
def steps() -> list[tuple[State, Record, State]]:
    """(before, record, after) for every record that fits, in every situation a process can come into that is checked,
    and for whose line another one waits."""
    watched = a_process("p", max_failures=2, health=HealthCheck(tcp=TcpCheck("http"), initial_interval=0.0))
    todo = [initial(a_task(watched, a_process("q", conditions=(Condition("p", "log", "ready"),))))]
    seen: set[object] = set()
    found: list[tuple[State, Record, State]] = []
    for state in todo:
        run = state.processes[0].run
        here = state.processes[0]
        situation = (
            state.stage,
            here.status,
            tuple(here.reached),
            run and (run.state, run.signalled, run.lingers, run.unhealthy),
        )
        if situation in seen:
            continue
        seen.add(situation)
        for record in any_record(run.number if run else 0):
            after = copy.deepcopy(state, {id(same): same for same in (state.task, state.graph)})
            try:
                evolve(after, record)
            except IllegalMove:
                assert after == state, "what was refused has changed something"
            else:
                found.append((state, record, after))
                todo.append(after)
    return found


def moves_of_the_task() -> set[Move]:
    return {(before.stage, after.stage) for before, record, after in steps() if isinstance(record, StageEntered)}


def moves_of_runs() -> set[Move]:
    """A run is WAITING until it is launched: before that there is none."""
    moves: set[Move] = set()
    for state, _, after in steps():
        before, now = ({run.number: run.state for run in s.processes[0].runs} for s in (state, after))
        assert before.keys() <= now.keys()
        moves |= {(before.get(run, "WAITING"), now[run]) for run in now if before.get(run) != now[run]}
    return moves


def test_the_records_that_are_tried_here_are_all_there_are() -> None:
    assert {*map(type, any_record(0)), Compacted} == set(get_args(Record))


def test_the_moves_of_a_task_are_those_of_the_table() -> None:
    assert moves_of_the_task() == {(state, to) for state, following in STAGE_MOVES.items() for to in following}


def test_the_moves_of_a_run_are_those_of_the_table() -> None:
    assert moves_of_runs() == {(state, to) for state, following in RUN_MOVES.items() for to in following}


def test_only_a_stage_record_moves_the_task() -> None:
    assert all(before.stage == after.stage for before, record, after in steps() if not isinstance(record, StageEntered))


def test_a_health_check_is_of_a_run_that_runs_and_moves_nothing() -> None:
    tried = [(before, after) for before, record, after in steps() if isinstance(record, Checked)]
    assert tried
    for before, after in tried:
        assert [run.state for run in before.processes[0].runs][-1:] == ["RUNNING"]
        assert [run.state for run in after.processes[0].runs] == [run.state for run in before.processes[0].runs]
        assert after.processes[0].run is not None
        assert after.processes[0].run.checks is not None


def test_a_line_is_told_at_any_time_and_frees_once() -> None:
    freed = [
        (before.processes[1].unmet, after.processes[1].unmet)
        for before, record, after in steps()
        if isinstance(record, Matched)
    ]
    assert set(freed) == {(1, 0), (0, 0)}


def test_nothing_is_told_of_a_run_that_has_ended_but_what_became_of_its_children() -> None:
    for state, record, _ in steps():
        run = state.processes[0].run
        if run is not None and not RUN_MOVES[run.state] and getattr(record, "run", None) == run.number:
            if isinstance(record, Matched):
                continue  # a line is found when it is read
            assert run.lingers
            assert isinstance(record, Emptied | Abandoned | Signalled)


def test_a_check_of_a_process_without_one_and_a_line_that_nobody_waits_for_are_refused() -> None:
    state = initial(a_task(a_process("p")))
    for record in (
        StageEntered(at=0.0, stage="ACTIVE", reason=""),
        Launched(at=0.0, process=0, run=0),
        Started(at=0.0, process=0, run=0, pid=1, ticks=1),
    ):
        evolve(state, record)
    before = copy.deepcopy(state)
    for stray in (
        Checked(at=1.0, process=0, run=0, ok=True),
        Matched(at=1.0, process=0, run=0, pattern="ready"),
        Matched(at=1.0, process=7, run=0, pattern="ready"),
    ):
        with pytest.raises(IllegalMove):
            evolve(state, stray)
    assert state == before


def test_a_task_goes_through_every_stage_once_and_in_one_order() -> None:
    assert moves_of_the_task() == {
        (None, "ACTIVE"),
        ("ACTIVE", "CLEANING"),
        ("CLEANING", "FINALIZING"),
        *(("FINALIZING", end) for end in get_args(Result)),
    }


def test_a_run_begins_once_and_ends_once() -> None:
    ends = get_args(Result)
    begun = {("WAITING", "FORKED"), ("FORKED", "RUNNING")}
    assert moves_of_runs() == begun | {(state, end) for state in ("FORKED", "RUNNING") for end in ends}
