"""A task's state as people and programs read it: the objects of `status --json`. Pure.

CLI and observer show the same values; what only one of them knows (usage) it adds itself.
"""

from __future__ import annotations

import signal
from typing import Literal

import msgspec

from .fold import Exit, ProcessState, Run, RunState, Source, Stage
from .state import State
from .task import Accepted, Isolation, Process

Health = Literal["healthy", "unhealthy", "unknown"]


class ExitStatus(msgspec.Struct, frozen=True):
    code: int | None
    signal: str | None  # SIGKILL, SIGTERM, ...
    source: Source
    oom: bool
    core: bool
    cause: str  # one sentence for people
    cpu: float | None  # seconds
    memory: int | None  # bytes, peak


class RunStatus(msgspec.Struct, frozen=True):
    run: int
    state: RunState
    pid: int | None
    started_at: float | None  # seconds since the epoch, as all times here
    ended_at: float | None
    exit: ExitStatus | None


class ProcessStatus(msgspec.Struct, frozen=True):
    name: str
    state: RunState
    health: Health
    failures: int
    successes: int
    launches: int
    not_before: float | None  # when a waiting process is due again
    runs: tuple[RunStatus, ...]  # the newest ones, oldest first; `run` numbers say how many there were


class TaskStatus(msgspec.Struct, frozen=True):
    task_id: str
    name: str
    state: Stage
    paused: bool
    reason: str
    supervised: bool
    root: str
    sandbox: str
    created_at: float
    ended_at: float | None
    user: str
    ports: dict[str, int]
    processes: tuple[ProcessStatus, ...]
    isolation: tuple[Isolation, ...]


def status_of(accepted: Accepted, state: State, supervised: bool, root: str) -> TaskStatus:
    """What there is to say about one task. `supervised`: a keeper or supervisor holds its lock."""
    made = accepted.parts if state.got or state.missing else {}
    parts = tuple(
        Isolation(what, accepted.parts.get(what, "private"), state.got.get(what), _missing(what, state))
        for what in sorted({*state.got, *state.missing, *made})
    )
    known = {row.what for row in accepted.isolation}
    limits = (
        *(_newer(row, state.rows.get(row.what)) for row in accepted.isolation),
        *(row for what, row in state.rows.items() if what not in known),
    )
    return TaskStatus(
        task_id=accepted.task_id,
        name=state.task.name,
        state=state.stage or "ACTIVE",
        paused=bool(state.paused_at),
        reason=state.reason if state.ended or not state.disk_pressure else state.disk_pressure,
        supervised=supervised,
        root=root,
        sandbox=accepted.sandbox,
        created_at=accepted.created_at,
        ended_at=state.stage_at if state.ended else None,
        user=accepted.user,
        ports=accepted.ports,
        processes=tuple(
            _process(definition, process)
            for definition, process in zip(state.task.processes, state.processes, strict=True)
        ),
        isolation=limits + parts,
    )


def _missing(part: str, state: State) -> str | None:
    if part in state.got:
        return None
    return state.missing.get(part, "it needs another part that is not given")


def _newer(row: Isolation, changed: Isolation | None) -> Isolation:
    """What holds of a limit: what was refused left it as it was."""
    return row if changed is None or (changed.got is None and row.got is not None) else changed


def health_of(task: TaskStatus, process: str | None = None) -> tuple[Health, str]:
    """Whether a task (or one process of it) is well, and why: what a load balancer or an agent polls."""
    if task.state in ("FAILED", "KILLED", "LOST"):
        return "unhealthy", f"the task is {task.state}: {task.reason}"
    if task.state == "ACTIVE" and not task.supervised:
        return "unhealthy", "nobody supervises the task: resume it"
    chosen = [p for p in task.processes if process in (None, p.name)]
    for one in chosen:
        if one.health == "unhealthy":
            last = one.runs[-1].exit if one.runs else None
            return "unhealthy", f"process {one.name} is {one.state}" + (f": {last.cause}" if last else "")
        if one.health == "unknown" and one.state == "RUNNING":
            return "unknown", f"process {one.name} has passed no health check yet"
    if task.paused:
        return "unhealthy", "the task is paused, and answers nobody: unpause it"
    return "healthy", f"the task is {task.state}"


def _process(definition: Process, process: ProcessState) -> ProcessStatus:
    run = process.run
    return ProcessStatus(
        name=definition.name,
        state=run.state if run else "WAITING",
        health=_health(definition, process),
        failures=process.failures,
        successes=process.successes,
        launches=process.launches,
        not_before=process.not_before if process.status == "waiting" and process.launches else None,
        runs=tuple(_run(run) for run in process.runs),
    )


def _health(definition: Process, process: ProcessState) -> Health:
    """A run that is checked is what its checks say, and neither before they have said anything.

    Without a health check a process is well while it runs or is done, and not when its last run went wrong. One that
    we stopped did nothing wrong, and is not well either.
    """
    run = process.run
    if run is not None and definition.health is not None and run.state == "RUNNING":
        if run.unhealthy:
            return "unhealthy"
        return "healthy" if run.checks is not None and run.checks.passed else "unknown"
    if run is not None and run.unhealthy:
        return "unhealthy"
    if run is None or run.state == "FORKED" or (run.state == "KILLED" and run.signalled is not None):
        return "unknown"
    return "healthy" if run.state in ("RUNNING", "SUCCESS") else "unhealthy"


def _run(run: Run) -> RunStatus:
    return RunStatus(
        run=run.number,
        state=run.state,
        pid=run.pid,
        started_at=run.started_at,
        ended_at=run.ended_at,
        exit=_exit(run.exit) if run.exit else None,
    )


def _exit(exit: Exit) -> ExitStatus:
    return ExitStatus(
        code=exit.code,
        signal=signal_name(exit.signal) if exit.signal is not None else None,
        source=exit.source,
        oom=exit.oom,
        core=exit.core,
        cause=describe(exit),
        cpu=exit.cpu,
        memory=exit.memory,
    )


def describe(exit: Exit) -> str:
    """An exit in words."""
    if exit.why:
        return exit.why
    if exit.signal is not None:
        name = signal_name(exit.signal)
        core = ", core dumped" if exit.core else ""
        return f"killed by {name}: out of memory" if exit.oom else f"killed by {name}{core}"
    if exit.code is None:
        return "nobody saw how it ended"
    return f"exited with {exit.code}" + (" after an out-of-memory kill inside it" if exit.oom else "")


def signal_name(number: int) -> str:
    """SIGKILL, SIGTERM, ...; real-time signals have no names of their own: SIGRTMIN+3."""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    if number in (32, 33):  # the C library keeps these two for its threads
        return f"signal {number}"
    return signal.Signals(number).name
