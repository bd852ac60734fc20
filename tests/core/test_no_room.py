"""While there is no room to write down what new runs would do, none of the plan is begun; what runs goes on."""

from __future__ import annotations

from fakes import a_process, a_task

from thermos.core.decide import decide
from thermos.core.evolve import evolve
from thermos.core.records import DiskPressure, Exited, KillRequested, Launched, Record, StageEntered
from thermos.core.state import State, initial

ACTIVE = StageEntered(at=0.0, stage="ACTIVE", reason="")
FULL = DiskPressure(at=1.0, why="the disk is full")


def folded(*records: Record) -> State:
    state = initial(a_task(a_process("p"), a_process("then", after=("p",)), a_process("tidy", final=True)))
    for record in records:
        evolve(state, record)
    return state


def launched(state: State) -> list[int]:
    return [record.process for record in decide(state, 9.0).records if isinstance(record, Launched)]


def test_nothing_is_begun_until_there_is_room_again() -> None:
    state = folded(ACTIVE, FULL)
    assert decide(state, 9.0).records == ()
    evolve(state, DiskPressure(at=2.0))
    assert launched(state) == [0]


def test_what_runs_goes_on_and_frees_nobody_yet() -> None:
    state = folded(ACTIVE, Launched(at=0.5, process=0, run=0), FULL)
    evolve(state, Exited(at=2.0, process=0, run=0, source="waited", code=0))
    assert state.processes[0].status == "finished"
    assert decide(state, 9.0).records == ()


def test_the_task_can_be_killed_and_its_finalizers_run() -> None:
    state = folded(ACTIVE, FULL, KillRequested(at=2.0, by="somebody"))
    for _ in range(2):
        for record in decide(state, 9.0).records:
            evolve(state, record)
    assert launched(state) == [2]
