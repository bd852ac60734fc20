"""The run that is worth having ready before the one just launched has ended."""

from __future__ import annotations

from fakes import a_process, a_task

from thermos.core.decide import decide, expected
from thermos.core.evolve import evolve
from thermos.core.records import Launched
from thermos.core.state import State, initial
from thermos.core.task import Process


def begun(*processes: Process, max_concurrency: int = 0) -> tuple[State, Launched]:
    """A task that has just launched what it can, and the first run it launched."""
    state = initial(a_task(*processes, max_concurrency=max_concurrency))
    launched: list[Launched] = []
    while records := decide(state, 0.0).records:
        for record in records:
            evolve(state, record)
            launched += [record] if isinstance(record, Launched) else []
    return state, launched[0]


def test_what_waits_for_a_free_place_is_expected_first() -> None:
    state, launched = begun(
        a_process("a"),
        a_process("then", after=("a",)),
        a_process("too"),
        a_process("tidy", final=True),
        max_concurrency=1,
    )
    assert expected(state, launched) == (2, 0)


def test_a_finalizer_that_waits_for_a_place_is_not_expected_while_others_run() -> None:
    assert expected(*begun(a_process("a"), a_process("tidy", final=True))) is None


def test_a_finalizer_expects_finalizers_only() -> None:
    state, _ = begun(a_process("first", final=True), a_process("second", final=True), max_concurrency=1)
    assert state.stage == "FINALIZING"
    assert expected(state, Launched(at=0.0, process=0, run=0)) == (1, 0)


def test_what_waits_for_this_process_only_is_expected() -> None:
    assert expected(*begun(a_process("a"), a_process("then", after=("a",)))) == (1, 0)


def test_what_waits_for_another_too_is_not_expected() -> None:
    assert expected(*begun(a_process("a"), a_process("b"), a_process("both", after=("a", "b")))) is None


def test_a_daemon_is_followed_by_its_own_next_run() -> None:
    assert expected(*begun(a_process("d", daemon=True))) == (0, 1)


def test_a_daemon_that_has_to_pause_is_followed_by_nothing() -> None:
    assert expected(*begun(a_process("d", daemon=True, min_duration=5))) is None
