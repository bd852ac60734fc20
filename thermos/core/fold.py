"""What a journal says of its task: the values that records are folded into. `state` says what they mean.

They are apart from the rest of the state because they are also what a journal is compacted to.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import msgspec

from .task import Isolation

Stage = Literal["ACTIVE", "CLEANING", "FINALIZING", "SUCCESS", "FAILED", "KILLED", "LOST"]
Result = Literal["SUCCESS", "FAILED", "KILLED", "LOST"]
Source = Literal["waited", "keeper", "pidfd", "zombie", "unknown"]
RunState = Literal["WAITING", "FORKED", "RUNNING", "SUCCESS", "FAILED", "KILLED", "LOST"]


class Exit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a run's main process ended, and how we know."""

    source: Source
    code: int | None = None
    signal: int | None = None
    core: bool = False
    oom: bool = False
    cpu: float | None = None
    memory: int | None = None
    why: str = ""


class Checks(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a run's health checks have come to; see `health`."""

    attempts: int = 0
    failures: int = 0  # in a row, those that are not forgiven
    successes: int = 0  # in a row, as far as they matter
    passed: bool = False  # it has been healthy
    failed: bool = False  # it is unhealthy, for good
    why: str = ""  # of the last failure


class Run(msgspec.Struct, array_like=True, gc=False):
    """One execution of a process."""

    number: int
    state: RunState
    launched_at: float
    launched_by: int  # sequence number of its Launched record
    pid: int | None = None
    ticks: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit: Exit | None = None
    signalled: int | None = None  # the last stop signal we decided on
    signalled_by: int = 0  # sequence number of that decision
    signalled_at: float = 0.0
    lingers: bool = False  # ended, and processes of it still live
    checks: Checks | None = None  # its health, where it is checked

    @property
    def unhealthy(self) -> bool:
        return self.checks is not None and self.checks.failed


class ProcessState(msgspec.Struct, omit_defaults=True):
    """One process of the task. `runs` is bounded; the numbers before it are totals over all runs."""

    unmet: int  # how much of what it waits for has not come about
    #: stopped: by us, for good; skipped: what it waits for cannot come about any more, and that is no failure
    status: Literal["waiting", "live", "finished", "failed", "stopped", "skipped"] = "waiting"
    failures: int = 0
    successes: int = 0
    launches: int = 0
    streak: int = 0  # runs in a row that went wrong soon after they started
    not_before: float = 0.0  # no next run before this time
    ready_by: int = 0  # the record that made it runnable
    runs: list[Run] = msgspec.field(default_factory=list[Run])
    reached: list[str] = msgspec.field(default_factory=list[str])  # milestones that somebody waits or waited for
    awaited: int = 0  # how much others that count still wait for of it, where it is ephemeral
    excused: int = 0  # failures that a restart rule took on its account
    spent: dict[int, int] = msgspec.field(default_factory=dict[int, int])  # restarts by each rule

    @property
    def run(self) -> Run | None:
        """The newest run."""
        return self.runs[-1] if self.runs else None


class Plan(msgspec.Struct):
    """One of the two plans of a task, regular and final: how much of it is left."""

    left: int  # processes that must still finish or fail; ephemeral ones do not count, here and for `failed`
    #: Of those, how many are live, ready or due, and ephemeral ones that they wait for: with none the plan is stuck.
    moving: int
    failed: int = 0  # processes that failed for good


class Fold(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Everything a journal says. New fields get a default: then what was compacted before them can still be read."""

    processes: list[ProcessState]
    plans: tuple[Plan, Plan]  # regular, final
    seq: int = 0  # of the last record folded in
    at: float = 0.0  # of the newest record
    boot_id: str = ""
    epoch: float = 0.0
    supervisors: int = 0  # how many have been in charge, one after another
    supervised_at: float = 0.0  # since when the newest is
    stage: Stage | None = None
    stage_at: float = 0.0
    stage_by: int = 0
    over_by: int = 0  # the record with which a run was last over, and nothing of it left
    stages: list[tuple[Stage, float, str]] = msgspec.field(default_factory=list[tuple[Stage, float, str]])
    result: Result | None = None
    reason: str = ""
    kill_at: float | None = None  # the first kill request
    kill_by: int = 0
    kill_wait: float | None = None
    kills: int = 0
    heard_at: float = 0.0  # when the newest request came that was a signal to the keeper
    forced: bool = False
    forced_by: int = 0  # the request that ended the waiting
    init: int | None = None
    got: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    missing: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    disk_pressure: str = ""  # why nothing new is launched, while there is no room for what it would do
    paused_at: float = 0.0  # since when everything stands still; 0: it does not
    paused_by: int = 0  # the newest record that said that it should, or should not any more
    #: Limits that were changed: by a process's number, or -1 for the task's own.
    limits: dict[int, dict[str, Any]] = msgspec.field(default_factory=dict[int, dict[str, Any]])
    rows: dict[str, Isolation] = msgspec.field(default_factory=dict[str, Isolation])  # what came of that, by `what`
    asked: tuple[int, dict[str, Any], int] | None = None  # process or -1, limits, by which record: not answered yet
    exceeded: str = ""  # why the task has to end
    exceeded_by: int = 0
    # Indexes. A process number is in exactly one of ready, due and the six run sets, or in none. The sets keep
    # the order in which it was put there.
    ready: tuple[deque[int], deque[int]] = msgspec.field(default_factory=lambda: (deque[int](), deque[int]()))
    due: tuple[list[tuple[float, int]], list[tuple[float, int]]] = msgspec.field(
        default_factory=lambda: (list[tuple[float, int]](), list[tuple[float, int]]())
    )  # heaps
    forked: dict[int, None] = msgspec.field(default_factory=dict[int, None])
    running: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # not asked to stop
    stopping: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # asked
    killing: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # SIGKILL decided on
    spared: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # stopped; the rest of it has time, too
    sick: dict[int, int] = msgspec.field(
        default_factory=dict[int, int]
    )  # of running: unhealthy; the record that says so
    #: A heap of when the stop of a run by itself has lasted long enough: (time, process, run). Its first is alive.
    overdue: list[tuple[float, int, int]] = msgspec.field(default_factory=list[tuple[float, int, int]])
    lingering: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # ended, not yet empty, to be killed
