"""A task as loaded: every field present, every template filled in, every unit in bytes or seconds.

Defaults live in one place, the schema of `thermos.config`; these structs only say what reaches the core.
They are what `task.json` holds.
"""

from __future__ import annotations

import msgspec


class Resources(msgspec.Struct, frozen=True):
    """What a task may use; None means no limit was asked for."""

    cpu: float | None = None  # cores
    ram: int | None = None  # bytes
    disk: int | None = None  # bytes
    pids: int | None = None  # processes and threads


class Process(msgspec.Struct, frozen=True):
    """One node of the graph. Field meanings are Thermos's."""

    name: str
    cmdline: str | None  # run by /bin/bash -c ...
    argv: tuple[str, ...] | None  # ... or executed as it is; exactly one of the two
    max_failures: int  # 0: retried without end
    daemon: bool  # success does not end it
    ephemeral: bool  # the task does not wait for it
    min_duration: float  # seconds between an end and the next run
    final: bool  # runs after the others have ended
    after: tuple[str, ...]  # names that must have finished first: its own `after` and every `order`


class Task(msgspec.Struct, frozen=True):
    """A graph of processes and what holds for all of them."""

    name: str
    processes: tuple[Process, ...]
    max_failures: int  # processes that may fail for good before the task does; 0: any number
    max_concurrency: int  # 0: no limit
    finalization_wait: float  # seconds from CLEANING to the last SIGKILL
    user: str | None  # None: whoever runs it
    resources: Resources
    env: dict[str, str]


class Isolation(msgspec.Struct, frozen=True):
    """One line of asked-versus-got. `got` is None where the host could not give it."""

    what: str
    asked: str
    got: str | None
    why_not: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """`task.json`: a task taken in for execution. Written once, never changed."""

    task_id: str
    created_at: float  # seconds since the epoch
    task: Task
    sandbox: str  # directory where the processes run
    user: str  # who they run as
    uid: int
    gid: int
    groups: tuple[int, ...]
    ports: dict[str, int]
    instance: int
    isolation_mode: str  # strict | best-effort | none
    isolation: tuple[Isolation, ...]
    cgroups: dict[str, str]  # controller (or "unified") -> directory of the task's group
    env: dict[str, str]  # what each process gets, less THERMOS_PROCESS and THERMOS_RUN
    format: int = 1
