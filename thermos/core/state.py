"""Where a task stands: the fold of its journal, and the tables of legal moves.

The theory. A process is WAITING until what it comes after has finished, then has one run after another, each
FORKED (decided on and asked for), RUNNING (its program executes) and ended. What an ended run means for the
process (again? finished? failed for good?) is Thermos's arithmetic, in `evolve`. Facts (what a run did) and
intents (what we asked of it) are kept apart: `Run.exit` against `Run.signalled`.

Besides the facts the state holds indexes over them (who is ready, who is due when, how many are left), so that
one decision costs the same in a task of ten processes and of ten thousand.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import msgspec

from .graph import Graph, graph_of
from .records import Result, Source, Stage
from .task import Task

RunState = Literal["WAITING", "FORKED", "RUNNING", "SUCCESS", "FAILED", "KILLED", "LOST"]

#: From each task state to those it may enter next (Thermos's, less the direct jumps of `thermos kill`).
STAGE_MOVES: dict[Stage | None, tuple[Stage, ...]] = {
    None: ("ACTIVE",),
    "ACTIVE": ("CLEANING",),
    "CLEANING": ("FINALIZING",),
    "FINALIZING": ("SUCCESS", "FAILED", "KILLED", "LOST"),
    "SUCCESS": (),
    "FAILED": (),
    "KILLED": (),
    "LOST": (),
}

#: From each run state to those it may enter next.
RUN_MOVES: dict[RunState, tuple[RunState, ...]] = {
    "WAITING": ("FORKED",),
    "FORKED": ("RUNNING", "SUCCESS", "FAILED", "KILLED", "LOST"),
    "RUNNING": ("SUCCESS", "FAILED", "KILLED", "LOST"),
    "SUCCESS": (),
    "FAILED": (),
    "KILLED": (),
    "LOST": (),
}

ENDED: frozenset[Stage] = frozenset({"SUCCESS", "FAILED", "KILLED", "LOST"})

#: Exit status of `run`, `wait` and `resume`. 128 + a signal's number is a shell's way.
EXIT_STATUS: dict[Stage | None, int] = {"SUCCESS": 0, "FAILED": 1, "LOST": 137, "KILLED": 143}

#: Runs kept per process: the newest, and the newest that failed. Counters keep the rest.
KEPT_RUNS = 16


class IllegalMove(Exception):
    """A record that does not fit the state it is folded into: the journal is not what we wrote, or a bug."""


class Exit(msgspec.Struct, frozen=True):
    """How a run's main process ended, and how we know."""

    source: Source
    code: int | None = None
    signal: int | None = None
    core: bool = False
    oom: bool = False
    cpu: float | None = None
    memory: int | None = None
    why: str = ""


class Run(msgspec.Struct):
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


class ProcessState(msgspec.Struct):
    """One process of the task. `runs` is bounded; the numbers before it are totals over all runs."""

    unmet: int  # how many of those it comes after have not finished
    status: Literal["waiting", "live", "finished", "failed", "stopped"] = "waiting"  # stopped: by us, for good
    failures: int = 0
    successes: int = 0
    launches: int = 0
    streak: int = 0  # runs in a row that went wrong soon after they started
    not_before: float = 0.0  # no next run before this time
    ready_by: int = 0  # the record that made it runnable
    runs: list[Run] = msgspec.field(default_factory=list[Run])

    @property
    def run(self) -> Run | None:
        """The newest run."""
        return self.runs[-1] if self.runs else None


class Plan(msgspec.Struct):
    """One of the two plans of a task, regular and final: how much of it is left."""

    left: int  # processes that must still finish or fail (ephemeral ones do not count here, nor below)
    moving: int  # of those, how many are live, ready or due: with none the plan is stuck
    failed: int = 0  # processes that failed for good


class State(msgspec.Struct):
    """A task in full. Made by `initial`, changed by `evolve` and by nothing else."""

    task: Task
    graph: Graph
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
    forced: bool = False
    init: int | None = None
    got: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    missing: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    # Indexes. A process number is in exactly one of ready, due and the five run sets, or in none. The sets keep
    # the order in which it was put there.
    ready: tuple[deque[int], deque[int]] = msgspec.field(default_factory=lambda: (deque[int](), deque[int]()))
    due: tuple[list[tuple[float, int]], list[tuple[float, int]]] = msgspec.field(
        default_factory=lambda: (list[tuple[float, int]](), list[tuple[float, int]]())
    )  # heaps
    forked: dict[int, None] = msgspec.field(default_factory=dict[int, None])
    running: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # not asked to stop
    stopping: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # asked
    killing: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # SIGKILL decided on
    lingering: dict[int, None] = msgspec.field(default_factory=dict[int, None])  # ended, not yet empty

    @property
    def ended(self) -> bool:
        return self.stage in ENDED

    @property
    def busy(self) -> int:
        """How many processes have something alive, or about to be."""
        return len(self.forked) + len(self.running) + len(self.stopping) + len(self.killing) + len(self.lingering)


def initial(task: Task) -> State:
    """The state before the first record."""
    graph = graph_of(task)
    state = State(
        task=task,
        graph=graph,
        processes=[ProcessState(unmet=len(waits)) for waits in graph.waits_for],
        plans=(Plan(left=0, moving=0), Plan(left=0, moving=0)),
    )
    for number, process in enumerate(task.processes):
        plan = state.plans[process.final]
        plan.left += not process.ephemeral
        if not graph.waits_for[number]:
            plan.moving += not process.ephemeral
            state.ready[process.final].append(number)
    return state
