"""What there is to draw of a task: its processes in layers, who waits for whom, and the chain that takes longest.

The regular processes and the finalizers are two graphs without an edge between them: the second begins when the
first is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import msgspec

from thermos.core.task import Milestone, Task

#: What a process waits for: `Milestone`, or the success that silence means.
On = Literal["succeeded"] | Milestone

#: Those that another process's end fulfils; the others come while it runs.
AT_AN_END = frozenset(("succeeded", "completed", "failed"))


class Node(msgspec.Struct, frozen=True):
    """One process. `layer` counts from 0: the longest chain of those it waits for."""

    number: int
    name: str
    final: bool
    daemon: bool
    ephemeral: bool
    layer: int
    seconds: float | None  # how long it takes, where that is known
    critical: bool  # on the longest chain

    @property
    def marks(self) -> tuple[str, ...]:
        """What is unusual about it, in Thermos's words; final ones have a drawing of their own."""
        return (*(("daemon",) if self.daemon else ()), *(("ephemeral",) if self.ephemeral else ()))


class Edge(msgspec.Struct, frozen=True):
    """Process `after` waits until process `before` has come to `on`: numbers of processes."""

    before: int
    after: int
    on: On
    pattern: str = ""  # of "log"
    label: str = ""  # a word for a drawing: "", "started", ..., "log:1"; see `Picture.patterns`


class Plan(msgspec.Struct, frozen=True):
    """The regular processes, or the finalizers. All numbers are those of processes."""

    final: bool
    layers: tuple[tuple[int, ...], ...]
    edges: tuple[Edge, ...]
    critical: tuple[int, ...]  # the chain that takes longest
    total: float  # how long it takes: seconds, or steps where no duration is known at all

    @property
    def name(self) -> str:
        return "final" if self.final else "regular"

    @property
    def width(self) -> int:
        """How many are in the widest layer."""
        return max(map(len, self.layers))

    def links(self) -> set[tuple[int, int]]:
        """The neighbours in the longest chain."""
        return set(pairwise(self.critical))


class Picture(msgspec.Struct, frozen=True):
    """`plans` are those that have processes, regular before final. `patterns`: (label, process, regular expression)."""

    name: str
    nodes: tuple[Node, ...]
    plans: tuple[Plan, ...]
    patterns: tuple[tuple[str, str, str], ...]
    timed: bool  # whether totals are in seconds
    max_concurrency: int

    @property
    def edges(self) -> Iterable[Edge]:
        return (edge for plan in self.plans for edge in plan.edges)

    @property
    def total(self) -> float:
        return sum(plan.total for plan in self.plans)


def picture_of(task: Task, durations: Mapping[str, float] | None = None) -> Picture:
    """The picture of a task. `durations`: seconds by the names of processes; those without one count nothing.

    Without any, every process counts 1, and the longest chain is that of the most steps. A daemon has no end, and
    counts nothing unless it is named. Neither `max_concurrency` nor retries are thought of: it is a lower bound.
    """
    timed = bool(durations)
    edges, patterns = _edges(task)
    layer_of = _layers(len(task.processes), edges)
    plans: list[Plan] = []
    for final in (False, True):
        mine = [number for number, process in enumerate(task.processes) if process.final == final]
        if not mine:
            continue
        layers: list[list[int]] = [[] for _ in range(1 + max(layer_of[number] for number in mine))]
        for number in mine:
            layers[layer_of[number]].append(number)
        own = [edge for edge in edges if task.processes[edge.after].final == final]
        weights = [_weight(task, number, durations or {}) for number in range(len(task.processes))]
        chain, total = _longest(task, layers, own, weights, timed=timed)
        plans.append(Plan(final, tuple(map(tuple, layers)), tuple(own), chain, total))
    critical = {number for plan in plans for number in plan.critical}
    nodes = tuple(
        Node(
            number,
            process.name,
            process.final,
            process.daemon,
            process.ephemeral,
            layer_of[number],
            (durations or {}).get(process.name),
            number in critical,
        )
        for number, process in enumerate(task.processes)
    )
    return Picture(task.name, nodes, tuple(plans), patterns, timed, task.max_concurrency)


def _edges(task: Task) -> tuple[list[Edge], tuple[tuple[str, str, str], ...]]:
    number_of = {process.name: number for number, process in enumerate(task.processes)}
    edges: list[Edge] = []
    labels: dict[tuple[str, str], str] = {}
    for number, process in enumerate(task.processes):
        edges += (Edge(number_of[name], number, "succeeded") for name in dict.fromkeys(process.after))
        for condition in process.conditions:
            label: str = condition.on
            if condition.on == "log":
                label = labels.setdefault((condition.process, condition.pattern), f"log:{len(labels) + 1}")
            edges.append(Edge(number_of[condition.process], number, condition.on, condition.pattern, label))
    return edges, tuple((label, name, pattern) for (name, pattern), label in labels.items())


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """Process -> the longest chain before it. The order is known to have no circle."""
    followers: list[list[int]] = [[] for _ in range(count)]
    unmet = [0] * count
    for edge in edges:
        followers[edge.before].append(edge.after)
        unmet[edge.after] += 1
    layer = [0] * count
    ready = [number for number in range(count) if not unmet[number]]
    for number in ready:  # grows while it is walked
        for follower in followers[number]:
            layer[follower] = max(layer[follower], layer[number] + 1)
            unmet[follower] -= 1
            if not unmet[follower]:
                ready.append(follower)
    return layer


def _weight(task: Task, number: int, durations: Mapping[str, float]) -> float:
    return durations.get(task.processes[number].name, 0.0) if durations else 1.0


def _longest(
    task: Task, layers: Sequence[Sequence[int]], edges: Sequence[Edge], weights: Sequence[float], *, timed: bool
) -> tuple[tuple[int, ...], float]:
    """The chain that ends last, and when. It ends with a process that the task waits for, where there is one."""
    before: dict[int, list[Edge]] = {}
    for edge in edges:
        before.setdefault(edge.after, []).append(edge)
    end: dict[int, float] = {}
    came_by: dict[int, int] = {}
    for number in (number for layer in layers for number in layer):
        begin = -1.0
        for edge in before.get(number, ()):
            over = end[edge.before]
            if timed and edge.on not in AT_AN_END:
                over -= weights[edge.before]
            if over > begin:
                begin, came_by[number] = over, edge.before
        end[number] = max(begin, 0.0) + weights[number]
    waited_for = [number for number in end if not task.processes[number].ephemeral] or list(end)
    last = max(waited_for, key=lambda number: (end[number], -number))
    chain = [last]
    while chain[-1] in came_by:
        chain.append(came_by[chain[-1]])
    return tuple(reversed(chain)), end[last]
