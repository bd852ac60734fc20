"""A task as loaded: every field present, every template filled in, every unit in bytes or seconds.

Defaults live in one place, the schema of `thermos.config`; these structs only say what reaches the core.
They are what `task.json` holds.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

#: What a process may have come to, for another one that waits for it, other than its success.
Milestone = Literal["started", "healthy", "completed", "failed", "log"]


class IoLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may be read from and written to the disk that `path` is on."""

    path: str
    read: int | None = None  # bytes a second
    write: int | None = None
    read_iops: int | None = None  # operations a second
    write_iops: int | None = None


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task, or a process, may use; None means no limit was asked for."""

    cpu: float | None = None  # cores
    ram: int | None = None  # bytes
    disk: int | None = None  # bytes
    pids: int | None = None  # processes and threads
    cpu_weight: int | None = None  # 1 to 10000, against others'; the kernel's default is 100
    cpu_burst: float | None = None  # cores on top of `cpu`, for a while, out of what was not used before
    cpuset: str | None = None  # which processors, as in cpuset(7)
    ram_low: int | None = None  # bytes that are taken from it last when memory is short
    ram_high: int | None = None  # bytes above which it is slowed down and made to give back
    swap: int | None = None  # bytes
    io: tuple[IoLimit, ...] = ()
    io_weight: int | None = None  # 1 to 10000
    oom: Literal["process", "run", "task"] | None = None  # what dies where memory is short; None: a process
    egress: int | None = None  # bits a second, from the task ...
    ingress: int | None = None  # ... and to it


class Volume(msgspec.Struct, frozen=True, omit_defaults=True):
    """A directory or a file of the host, as the task sees it."""

    host_path: str
    container_path: str
    read_only: bool = True
    recursive: bool = True  # with what is mounted below it
    id_mapped: bool = False  # the ids in the user namespace are those on the disk


class Landlock(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may be reached, by landlock(7); None: all of that kind."""

    read: tuple[str, ...] | None = None
    write: tuple[str, ...] | None = None
    execute: tuple[str, ...] | None = None
    bind: tuple[int, ...] | None = None  # TCP ports
    connect: tuple[int, ...] | None = None
    scope: tuple[str, ...] = ()  # what does not reach out of it: abstract_unix_socket, signal


class Sandbox(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task asks of its sandbox. None, or nothing: the default."""

    network: Literal["host", "none", "private"] | None = None
    rootfs: str | None = None  # a directory, an archive, an image; None: the host's files
    read_only: bool | None = None  # all but the sandbox directory, what is temporary, and volumes
    volumes: tuple[Volume, ...] = ()
    devices: tuple[str, ...] = ()  # besides the usual ones
    tmp: int | None = None  # bytes, of /tmp
    shm: int | None = None  # bytes, of /dev/shm
    hostname: str | None = None
    hidepid: bool | None = None  # nobody sees processes of other users
    masks: bool | None = None  # False: all of /proc and /sys
    namespaces: dict[str, bool] = {}
    seccomp: str | None = None  # default, unconfined, or a file with a profile as OCI has it
    landlock: Landlock | None = None


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process waits for besides the success of others."""

    process: str
    on: Milestone
    pattern: str = ""  # of "log": a regular expression that a line of its output has to match


class Stop(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a run is asked to end."""

    signal: int = 15
    to: Literal["all", "group", "main"] = "all"  # all: its process group, and what left that
    timeout: float | None = None  # seconds until SIGKILL; None: what the task has left of its budget
    command: str | None = None  # run by bash beside it, instead of the signal


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """Seconds before the restarts of one rule: `initial`, each time `factor` times as long, `most` at the most."""

    initial: float = 0.0
    factor: float = 2.0
    most: float = 60.0
    jitter: float = 0.0  # the part of it, 0 to 1, that is left to chance


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What becomes of a process after certain ends of a run.

    One of codes, signals, oom and unhealthy must hold, of those that are said; without any, that it was no success. And
    so must both times.
    """

    codes: tuple[tuple[int, int], ...] | None = None  # ranges of exit codes, both ends in
    signals: tuple[int, ...] | None = None
    oom: bool | None = None
    unhealthy: bool | None = None  # it was stopped because its health check failed
    under: float | None = None  # it ran for less than these seconds ...
    over: float | None = None  # ... for at least these
    again: bool = True  # False: it has failed for good
    backoff: Backoff | None = None  # None: min_duration, and Thermos's
    budget: int | None = None  # restarts by this rule, after which it has failed for good
    reset: float = 60.0  # a run of so many seconds gives the whole budget back


class HttpCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """GET http://127.0.0.1:PORT/PATH."""

    port: str  # the name of a port of the task, or a number
    path: str = "/health"
    codes: tuple[tuple[int, int], ...] = ((200, 399),)
    body: str | None = None  # what the answer has to be but for case and the space around it


class TcpCheck(msgspec.Struct, frozen=True):
    """Somebody accepts connections to 127.0.0.1:PORT."""

    port: str


class ExecCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command in the process's sandbox that exits with 0. Exactly one of the two is set."""

    cmdline: str | None = None
    argv: tuple[str, ...] | None = None


class HealthCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a run does what it is there for. Exactly one of `http`, `tcp` and `command` is set.

    Words and arithmetic are Aurora's; see `evolve`.
    """

    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    command: ExecCheck | None = None  # `exec` in a file
    initial_interval: float = 15.0  # seconds in which failures are forgiven
    interval: float = 10.0
    timeout: float = 1.0
    max_failures: int = 0  # consecutive ones that are forgiven later
    min_successes: int = 1  # consecutive ones before it counts as healthy


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
    conditions: tuple[Condition, ...] = ()  # the rest of its `after`
    success_codes: tuple[tuple[int, int], ...] = ((0, 0),)  # ranges, both ends in
    stop: Stop = Stop()
    restart: tuple[Rule, ...] = ()  # the first one that fits; none: Thermos's rules
    health: HealthCheck | None = None
    env: dict[str, str] = {}  # over the task's
    cwd: str | None = None  # from the sandbox; None: the sandbox itself
    user: str | None = None  # None: the task's
    resources: Resources | None = None  # of it alone, within the task's
    capabilities: tuple[str, ...] | None = None  # None: a few for root, none for others
    rlimits: dict[str, tuple[int, int]] = {}  # soft and hard; -1: unlimited
    nice: int | None = None
    ionice: str | None = None
    scheduler: str | None = None
    affinity: str | None = None
    oom_score_adj: int | None = None


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
    sandbox: Sandbox = Sandbox()


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
    users: dict[str, tuple[int, int, tuple[int, ...]]] = {}  # those that processes ask for: uid, gid, groups
    parts: dict[str, str] = {}  # what was asked for of parts of the sandbox that are made later, where not "private"
    aside: dict[str, Any] = {}  # what the file says that means nothing on one host, or not yet
    format: int = 1
