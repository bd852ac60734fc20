"""A task that runs is paused, goes on, gets other limits, or has used up what it cannot give back."""

from __future__ import annotations

import pytest
from fakes import a_process, a_task

from thermos.core.decide import decide, effect_of, outstanding
from thermos.core.effects import Freeze, Limit, Thaw
from thermos.core.evolve import evolve
from thermos.core.records import (
    Exceeded,
    KillRequested,
    Paused,
    Record,
    StageEntered,
    Unpaused,
    Updated,
    UpdateRequested,
)
from thermos.core.state import IllegalMove, State, initial
from thermos.core.status import status_of
from thermos.core.task import Accepted, Isolation
from thermos.core.why import why

ACTIVE = StageEntered(at=0.0, stage="ACTIVE", reason="")
PAUSED = Paused(at=1.0, by="somebody")
MORE = UpdateRequested(at=2.0, by="somebody", limits={"ram": 5}, process=1)
TASK = a_task(a_process("p"), a_process("q"))


def folded(*records: Record) -> State:
    state = initial(TASK)
    for record in records:
        evolve(state, record)
    return state


def accepted(*isolation: Isolation) -> Accepted:
    return Accepted(
        task_id="t",
        created_at=0.0,
        task=TASK,
        sandbox="/s",
        user="root",
        uid=0,
        gid=0,
        groups=(),
        ports={},
        instance=0,
        isolation_mode="strict",
        isolation=isolation,
        cgroups={},
        env={},
        parts={"volume /a": "/b RO"},
    )


# -- paused


def test_while_it_is_paused_nothing_is_decided_and_nobody_is_woken() -> None:
    ready = decide(folded(ACTIVE, PAUSED), 9.0)
    assert (ready.records, ready.wake_at) == ((), None)


def test_a_kill_lets_it_go_on_first_and_says_who_did() -> None:
    (record,) = decide(folded(ACTIVE, PAUSED, KillRequested(at=2.0, by="somebody")), 9.0).records
    assert (type(record), record.cause) == (Unpaused, 3)


def test_so_does_an_end_for_want_of_something() -> None:
    (record,) = decide(folded(ACTIVE, PAUSED, Exceeded(at=2.0, why="full")), 9.0).records
    assert (type(record), record.cause) == (Unpaused, 3)


def test_a_pause_that_comes_too_late_is_taken_back() -> None:
    cleaning = StageEntered(at=0.5, stage="CLEANING", reason="", result="SUCCESS")
    (record,) = decide(folded(ACTIVE, cleaning, PAUSED), 9.0).records
    assert type(record) is Unpaused


def test_what_stands_still_cannot_be_paused_nor_what_goes_let_go() -> None:
    with pytest.raises(IllegalMove):
        folded(ACTIVE, PAUSED, PAUSED)
    with pytest.raises(IllegalMove):
        folded(ACTIVE, Unpaused(at=1.0, by="somebody"))


def test_a_new_supervisor_freezes_again_or_thaws_again() -> None:
    assert effect_of(PAUSED, 2) == Freeze(2)
    assert outstanding(folded(ACTIVE, PAUSED)) == (Freeze(2),)
    gone_on = folded(ACTIVE, PAUSED, Unpaused(at=2.0, by="somebody"))
    assert effect_of(Unpaused(at=2.0, by="somebody"), 3) == Thaw(3)
    assert outstanding(gone_on) == (Thaw(3),)
    assert outstanding(folded(ACTIVE)) == ()


def test_people_see_it() -> None:
    state = folded(ACTIVE, PAUSED)
    assert status_of(accepted(), state, True, "/r").paused is True
    assert status_of(accepted(), folded(ACTIVE), True, "/r").paused is False
    said = [step.text for step in why(state, None, 9.0)]
    assert "it is paused: everything of it stands still" in said
    assert "p is not started: the task is paused" in [step.text for step in why(state, 0, 9.0)]


# -- other limits


def test_what_is_asked_for_is_asked_again_until_it_is_known_what_came_of_it() -> None:
    assert effect_of(MORE, 2) == Limit({"ram": 5}, 1, 2)
    asked = folded(ACTIVE, MORE)
    assert outstanding(asked) == (Limit({"ram": 5}, 1, 2),)
    evolve(asked, Updated(at=3.0, limits={"ram": 5}, rows=(), process=1))
    assert outstanding(asked) == ()
    whole = folded(ACTIVE, UpdateRequested(at=2.0, by="somebody", limits={"pids": None}))
    assert outstanding(whole) == (Limit({"pids": None}, None, 2),)


def test_what_holds_is_what_was_had_last() -> None:
    state = folded(
        ACTIVE,
        Updated(at=1.0, limits={"ram": 5, "cpu": 1.0}, rows=(), process=1),
        Updated(at=2.0, limits={"ram": 7}, rows=(), process=1),
        Updated(at=3.0, limits={"ram": 9}, rows=()),
    )
    assert state.limits == {1: {"ram": 7, "cpu": 1.0}, -1: {"ram": 9}}


def test_asked_versus_got_is_told_of_the_newest_limits_and_of_new_ones() -> None:
    memory, pids = Isolation("memory", "1 MiB", "1 MiB"), Isolation("pids", "4", "4")
    more, cpu = Isolation("memory", "2 MiB", "2 MiB"), Isolation("cpu of q", "1 cores", None, "no controller")
    state = folded(ACTIVE, Updated(at=1.0, limits={}, rows=(more, cpu)))
    assert status_of(accepted(memory, pids), state, True, "/r").isolation == (more, pids, cpu)


def test_a_limit_that_was_refused_hides_none_that_holds() -> None:
    memory, cpu = Isolation("memory", "1 MiB", "1 MiB"), Isolation("cpu of q", "1 cores", "1 cores")
    less, none = Isolation("memory", "1 KiB", None, "it holds more"), Isolation("cpu of q", "2 cores", None, "gone")
    state = folded(
        ACTIVE,
        Updated(at=1.0, limits={}, rows=(cpu,), process=1),
        Updated(at=2.0, cause=1, limits={}, rows=(less, none)),
    )
    assert status_of(accepted(memory), state, True, "/r").isolation == (memory, cpu)


def test_a_limit_that_was_lost_is_not_shown_as_one_that_holds() -> None:
    disk, lost = Isolation("disk", "1 MiB", "1 MiB"), Isolation("disk", "1 MiB", None, "nobody watches it")
    state = folded(ACTIVE, Updated(at=1.0, limits={}, rows=(disk,)), Updated(at=2.0, limits={}, rows=(lost,)))
    assert status_of(accepted(), state, True, "/r").isolation == (lost,)


def test_a_part_of_the_sandbox_is_told_as_the_file_asks_for_it() -> None:
    state = folded(ACTIVE)
    state.got, state.missing = {"pid": "private"}, {"volume /a": "it is not there"}
    rows = status_of(accepted(), state, True, "/r").isolation
    assert rows == (
        Isolation("pid", "private", "private", None),
        Isolation("volume /a", "/b RO", None, "it is not there"),
    )


# -- used up


def test_a_task_that_has_used_something_up_fails_for_that_reason() -> None:
    state = folded(ACTIVE, Exceeded(at=2.0, why="the disk is full"), Exceeded(at=3.0, why="again"))
    (record,) = decide(state, 9.0).records
    assert isinstance(record, StageEntered)
    assert (record.stage, record.result, record.reason, record.cause) == ("CLEANING", "FAILED", "the disk is full", 2)
    kill = folded(ACTIVE, Exceeded(at=2.0, why="the disk is full"), KillRequested(at=3.0, by="somebody"))
    (record,) = decide(kill, 9.0).records
    assert isinstance(record, StageEntered)
    assert record.result == "KILLED"
