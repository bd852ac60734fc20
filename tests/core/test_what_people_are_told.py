"""Every field of `status --json`, and every sentence about how a run ended."""

from __future__ import annotations

import signal

import pytest
from fakes import a_process, a_task

from thermos.core.evolve import evolve
from thermos.core.fold import Exit
from thermos.core.records import (
    DiskPressure,
    Exited,
    Launched,
    Record,
    Sandboxed,
    StageEntered,
    Started,
)
from thermos.core.state import EXIT_STATUS, initial
from thermos.core.status import ExitStatus, Health, TaskStatus, describe, health_of, signal_name, status_of
from thermos.core.task import Accepted, Isolation

TASK = a_task(a_process("web", max_failures=3, min_duration=5), a_process("then", after=("web",)))
CPU = Isolation("cpu", "2 cores", "2 cores")
ACCEPTED = Accepted("shop-1", 1.0, TASK, "/s", "www", 7, 8, (), {"http": 80}, 0, "strict", (CPU,), {}, {})

ACTIVE = StageEntered(at=1.0, stage="ACTIVE", reason="the task was accepted")
LAUNCHED = Launched(at=2.0, process=0, run=0)
STARTED = Started(at=3.0, process=0, run=0, pid=42, ticks=7)
FULL = DiskPressure(at=4.0, why="there is no room for the journal")


def told(*records: Record, supervised: bool = True) -> TaskStatus:
    state = initial(TASK)
    for record in records:
        evolve(state, record)
    return status_of(ACCEPTED, state, supervised, "/root")


def ended(stage: str) -> list[Record]:
    return [
        ACTIVE,
        StageEntered(at=2.0, stage="CLEANING", reason="as it came"),
        StageEntered(at=3.0, stage="FINALIZING", reason="nothing runs any more"),
        StageEntered(at=4.0, stage=stage, reason="as it came"),  # type: ignore[arg-type]
    ]


def test_a_task_is_told_as_it_was_accepted() -> None:
    task = told(ACTIVE)
    assert (task.task_id, task.name, task.state, task.reason) == ("shop-1", "task", "ACTIVE", "the task was accepted")
    assert (task.root, task.sandbox, task.user, task.ports) == ("/root", "/s", "www", {"http": 80})
    assert (task.created_at, task.ended_at, task.supervised) == (1.0, None, True)


@pytest.mark.parametrize("stage", ["SUCCESS", "FAILED", "KILLED", "LOST"])
def test_a_task_has_an_end_when_it_has_ended_however_it_did(stage: str) -> None:
    for count in range(3):
        assert told(*ended(stage)[: count + 1]).ended_at is None
    assert told(*ended(stage)).ended_at == 4.0


def test_each_end_has_an_exit_status_of_its_own() -> None:
    assert EXIT_STATUS == {"SUCCESS": 0, "FAILED": 1, "KILLED": 128 + signal.SIGTERM, "LOST": 128 + signal.SIGKILL}


def test_a_full_disk_is_told_until_there_is_room_or_the_task_has_ended() -> None:
    assert told(ACTIVE, FULL).reason == "there is no room for the journal"
    assert told(ACTIVE, FULL, DiskPressure(at=5.0)).reason == "the task was accepted"
    assert told(FULL, *ended("FAILED")).reason == "as it came"


def test_what_was_asked_and_what_was_got_is_told_line_by_line() -> None:
    sandboxed = Sandboxed(at=1.0, init=9, got={"pid": "private"}, missing={"ipc": "no permission"})
    assert told(ACTIVE, sandboxed).isolation == (
        CPU,
        Isolation("ipc", "private", None, "no permission"),
        Isolation("pid", "private", "private", None),
    )


def test_a_process_that_waits_for_its_next_run_says_until_when() -> None:
    failed = Exited(at=4.0, process=0, run=0, source="waited", code=1)
    assert [p.not_before for p in told(ACTIVE).processes] == [None, None]
    assert [p.not_before for p in told(ACTIVE, LAUNCHED, STARTED).processes] == [None, None]
    assert [p.not_before for p in told(ACTIVE, LAUNCHED, STARTED, failed).processes] == [9.0, None]


def test_a_process_is_what_its_newest_run_is() -> None:
    failed = Exited(at=4.0, process=0, run=0, source="waited", code=1, cpu=0.5, memory=10, core=True)
    again = Launched(at=9.0, process=0, run=1)
    web, then = told(ACTIVE, LAUNCHED, STARTED, failed, again).processes
    assert (web.name, web.state, then.name, then.state) == ("web", "FORKED", "then", "WAITING")
    assert (web.failures, web.successes, web.launches) == (1, 0, 2)
    assert [(run.run, run.state, run.pid, run.started_at, run.ended_at) for run in web.runs] == [
        (0, "FAILED", 42, 3.0, 4.0),
        (1, "FORKED", None, None, None),
    ]
    assert web.runs[0].exit == ExitStatus(1, None, "waited", False, True, "exited with 1", 0.5, 10)
    assert web.runs[1].exit is None


@pytest.mark.parametrize("stage", ["FAILED", "KILLED", "LOST"])
def test_a_task_that_did_not_end_well_is_unhealthy_and_says_why(stage: str) -> None:
    assert health_of(told(*ended(stage))) == ("unhealthy", f"the task is {stage}: as it came")


def test_a_task_that_ended_well_needs_no_supervisor_to_be_healthy() -> None:
    assert health_of(told(*ended("SUCCESS"), supervised=False))[0] == "healthy"


@pytest.mark.parametrize(
    ("exit", "health"),
    [
        (Exited(at=4.0, process=0, run=0, source="waited", code=0), "healthy"),
        (Exited(at=4.0, process=0, run=0, source="waited", code=1), "unhealthy"),
        (Exited(at=4.0, process=0, run=0, source="waited", signal=15), "unhealthy"),
        (Exited(at=4.0, process=0, run=0, source="unknown"), "unhealthy"),
    ],
)
def test_a_process_is_as_well_as_its_last_run_ended(exit: Exited, health: Health) -> None:
    task = told(ACTIVE, LAUNCHED, STARTED, exit)
    assert [p.health for p in task.processes] == [health, "unknown"]
    assert health_of(task)[0] == health


def test_one_process_is_asked_about_and_only_that_one_answers() -> None:
    task = told(ACTIVE, LAUNCHED, STARTED, Exited(at=4.0, process=0, run=0, source="waited", code=1))
    assert health_of(task, "web") == ("unhealthy", "process web is FAILED: exited with 1")
    assert health_of(task, "then")[0] == "healthy"


@pytest.mark.parametrize(
    ("exit", "words"),
    [
        (Exit(source="waited", code=3), "exited with 3"),
        (Exit(source="waited", code=3, oom=True), "exited with 3 after an out-of-memory kill inside it"),
        (Exit(source="waited", signal=9), "killed by SIGKILL"),
        (Exit(source="waited", signal=9, oom=True), "killed by SIGKILL: out of memory"),
        (Exit(source="waited", signal=11, core=True), "killed by SIGSEGV, core dumped"),
        (Exit(source="unknown"), "nobody saw how it ended"),
        (Exit(source="unknown", why="the host was rebooted"), "the host was rebooted"),
    ],
)
def test_an_end_in_words(exit: Exit, words: str) -> None:
    assert describe(exit) == words


def test_every_signal_has_a_name() -> None:
    assert signal_name(15) == "SIGTERM"
    assert [signal_name(number) for number in (32, 33)] == ["signal 32", "signal 33"]
    assert signal_name(signal.SIGRTMIN) == "SIGRTMIN"
    assert signal_name(signal.SIGRTMIN + 1) == "SIGRTMIN+1"
    assert signal_name(signal.SIGRTMAX) == "SIGRTMAX"
