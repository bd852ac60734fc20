"""Where a task stands: the fold of its journal, and the tables of legal moves.

The theory. A process is WAITING until what it comes after has finished, then has one run after another, each
FORKED (decided on and asked for), RUNNING (its program executes) and ended. What an ended run means for the
process (again? finished? failed for good?) is Thermos's arithmetic, in `evolve`. Facts (what a run did) and
intents (what we asked of it) are kept apart: `Run.exit` against `Run.signalled`.

Besides the facts the state holds indexes over them (who is ready, who is due when, how many are left), so that
one decision costs the same in a task of ten processes and of ten thousand.
"""

from __future__ import annotations

from .fold import Fold, Plan, ProcessState, RunState, Stage
from .graph import Graph, graph_of
from .task import Task

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


class State(Fold, kw_only=True):
    """A task in full. Made by `initial`, changed by `evolve` and by nothing else."""

    task: Task
    graph: Graph

    @property
    def ended(self) -> bool:
        return self.stage in ENDED

    @property
    def busy(self) -> int:
        """How many processes have something alive, or about to be."""
        alive = len(self.forked) + len(self.running) + len(self.stopping) + len(self.killing)
        return alive + len(self.spared) + len(self.lingering)


def fold_of(state: State) -> Fold:
    """All of a state that a journal tells, and that takes the journal's place when it is compacted. Not a copy."""
    return Fold(**{name: getattr(state, name) for name in Fold.__struct_fields__})


def counts(graph: Graph, task: Task, number: int) -> bool:
    """Whether the task waits for a process, if only because somebody else does that it waits for."""
    return not task.processes[number].ephemeral or number in graph.hopeful


def initial(task: Task) -> State:
    """The state before the first record."""
    graph = graph_of(task)
    state = State(
        task=task,
        graph=graph,
        processes=[ProcessState(unmet=unmet) for unmet in graph.unmet],
        plans=(Plan(left=0, moving=0), Plan(left=0, moving=0)),
    )
    for number in graph.hopeful:
        state.processes[number].awaited = sum(
            counts(graph, task, follower) for follower in (*graph.followers[number], *graph.who_awaits(number))
        )
    for number, process in enumerate(task.processes):
        plan = state.plans[process.final]
        plan.left += not process.ephemeral
        if not graph.unmet[number]:
            plan.moving += counts(graph, task, number)
            state.ready[process.final].append(number)
    return state
