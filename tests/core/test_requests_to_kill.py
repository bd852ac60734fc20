"""The first request says when the end begins and how long it may take; another one, or force, ends the waiting."""

from __future__ import annotations

from fakes import a_process, a_task

from thermos.core.evolve import evolve
from thermos.core.records import KillRequested, StageEntered
from thermos.core.state import State, initial

FIRST = KillRequested(at=2.0, by="one", wait=5.0, heard_at=1.9)
SECOND = KillRequested(at=4.0, by="another", wait=60.0)


def folded(*requests: KillRequested) -> State:
    state = initial(a_task(a_process("p")))
    evolve(state, StageEntered(at=0.0, stage="ACTIVE", reason=""))
    for request in requests:
        evolve(state, request)
    return state


def test_one_request_forces_nothing() -> None:
    state = folded(FIRST)
    assert (state.kill_at, state.kill_by, state.kill_wait, state.forced, state.forced_by) == (2.0, 2, 5.0, False, 0)


def test_the_second_request_forces_and_leaves_the_budget_what_it_was() -> None:
    state = folded(FIRST, SECOND)
    assert (state.kill_at, state.kill_by, state.kill_wait, state.forced, state.forced_by) == (2.0, 2, 5.0, True, 3)


def test_a_request_may_force_at_once() -> None:
    state = folded(KillRequested(at=2.0, by="one", force=True))
    assert (state.forced, state.forced_by) == (True, 2)


def test_the_request_that_forced_the_end_stays_its_cause() -> None:
    assert folded(FIRST, SECOND, SECOND).forced_by == 3


def test_when_the_keeper_heard_of_a_kill_is_kept_though_another_one_comes_by_another_way() -> None:
    assert folded(FIRST, SECOND).heard_at == 1.9
