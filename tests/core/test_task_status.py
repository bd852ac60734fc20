"""What people and programs are told of a task."""

from __future__ import annotations

import signal

import msgspec

from thermos.core import records as r
from thermos.core.evolve import evolve
from thermos.core.records import Record
from thermos.core.state import initial
from thermos.core.status import TaskStatus, health_of, status_of
from thermos.core.task import Accepted, Process, Resources, Task

WEB = Process("web", "serve", None, 1, daemon=True, ephemeral=True, min_duration=5, final=False, after=())
TASK = Task("shop", (WEB,), 1, 0, 30.0, None, Resources(), {})
ACCEPTED = Accepted("shop-1", 1.0, TASK, "/s", "root", 0, 0, (), {}, 0, "strict", (), {}, {})


def told(*records: Record, supervised: bool = True) -> TaskStatus:
    state = initial(TASK)
    for record in (r.StageEntered(at=1.0, stage="ACTIVE", reason="accepted"), *records):
        evolve(state, record)
    return status_of(ACCEPTED, state, supervised, "/root")


LAUNCHED = r.Launched(at=2.0, process=0, run=0)
STARTED = r.Started(at=3.0, process=0, run=0, pid=42, ticks=7)
CLEANING = r.StageEntered(at=4.0, stage="CLEANING", reason="every process has finished", result="SUCCESS")
STOPPED = r.Signalled(at=4.0, process=0, run=0, signal=signal.SIGTERM)
KILLED = r.Exited(at=5.0, process=0, run=0, source="waited", signal=signal.SIGTERM)
FINALIZING = r.StageEntered(at=5.0, stage="FINALIZING", reason="nothing runs any more")
SUCCESS = r.StageEntered(at=5.0, stage="SUCCESS", reason="every process has finished", result="SUCCESS")


def test_a_running_process_is_healthy() -> None:
    assert health_of(told(LAUNCHED, STARTED)) == ("healthy", "the task is ACTIVE")


def test_a_process_killed_by_a_stranger_is_unhealthy_and_the_reason_names_it() -> None:
    health, why = health_of(told(LAUNCHED, STARTED, KILLED))
    assert (health, why) == ("unhealthy", "process web is KILLED: killed by SIGTERM")


def test_a_task_that_ended_well_is_healthy_though_its_sidecar_was_stopped() -> None:
    ended = told(LAUNCHED, STARTED, CLEANING, STOPPED, KILLED, FINALIZING, SUCCESS)
    assert health_of(ended) == ("healthy", "the task is SUCCESS")
    assert ended.processes[0].health == "unknown"


def test_an_active_task_that_nobody_supervises_is_unhealthy() -> None:
    assert health_of(told(LAUNCHED, STARTED, supervised=False))[0] == "unhealthy"


def test_what_was_asked_for_and_fell_with_another_part_is_shown_as_not_given() -> None:
    accepted = msgspec.structs.replace(ACCEPTED, parts={"hostname": "box", "/tmp": "8 MiB"})
    state = initial(TASK)
    evolve(state, r.StageEntered(at=1.0, stage="ACTIVE", reason="accepted"))
    assert status_of(accepted, state, True, "/root").isolation == ()  # it is not known yet
    evolve(state, r.Sandboxed(at=1.0, init=1, got={"/tmp": "8 MiB"}, missing={"uts": "Operation not permitted"}))
    rows = {row.what: (row.asked, row.got, row.why_not) for row in status_of(accepted, state, True, "/root").isolation}
    assert rows == {
        "/tmp": ("8 MiB", "8 MiB", None),
        "hostname": ("box", None, "it needs another part that is not given"),
        "uts": ("private", None, "Operation not permitted"),
    }


def test_a_real_time_signal_has_a_name() -> None:
    killed = told(LAUNCHED, STARTED, r.Exited(at=5.0, process=0, run=0, source="waited", signal=35))
    exit = killed.processes[0].runs[0].exit
    assert exit is not None
    assert exit.signal == "SIGRTMIN+1"
