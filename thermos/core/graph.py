"""The order of a task's processes, as numbers: who waits for how many, and who waits for whom to come to what."""

from __future__ import annotations

import msgspec

from .task import Task


class Graph(msgspec.Struct, frozen=True):
    waits_for: tuple[tuple[int, ...], ...]  # process -> the processes it comes after: those that have to succeed
    followers: tuple[tuple[int, ...], ...]  # process -> the processes that come after it so
    #: (process, milestone) -> the processes that wait for it. A milestone is a condition's `on`, or "log:" and its
    #: pattern.
    awaiting: dict[tuple[int, str], tuple[int, ...]]
    awaits: tuple[tuple[tuple[int, str], ...], ...]  # process -> the (process, milestone) it waits for
    unmet: tuple[int, ...]  # process -> how much it waits for in all
    milestones: dict[int, tuple[str, ...]]  # process -> what somebody waits for it to come to
    hopeful: frozenset[int]  # ephemeral processes that somebody who counts waits for, directly or not

    def who_awaits(self, number: int) -> list[int]:
        """Those that wait for something else of a process than its success, once for each such thing."""
        whats = self.milestones.get(number, ())
        return [follower for what in whats for follower in self.awaiting[number, what]]


def milestone(on: str, pattern: str) -> str:
    return f"log:{pattern}" if on == "log" else on


def graph_of(task: Task) -> Graph:
    """The graph of a task whose names are known to be unique and whose order has no cycle.

    Finalizers and regular processes never wait for each other by an edge: the stages keep them apart.
    """
    index = {process.name: number for number, process in enumerate(task.processes)}
    waits_for = tuple(tuple(dict.fromkeys(index[name] for name in process.after)) for process in task.processes)
    followers: list[list[int]] = [[] for _ in task.processes]
    for number, predecessors in enumerate(waits_for):
        for predecessor in predecessors:
            followers[predecessor].append(number)
    awaiting: dict[tuple[int, str], list[int]] = {}
    awaits = tuple(
        tuple(
            (index[condition.process], milestone(condition.on, condition.pattern)) for condition in process.conditions
        )
        for process in task.processes
    )
    for number, keys in enumerate(awaits):
        for key in keys:
            awaiting.setdefault(key, []).append(number)
    milestones: dict[int, list[str]] = {}
    for number, what in awaiting:
        milestones.setdefault(number, []).append(what)
    return Graph(
        waits_for=waits_for,
        followers=tuple(map(tuple, followers)),
        awaiting={key: tuple(numbers) for key, numbers in awaiting.items()},
        awaits=awaits,
        unmet=tuple(len(before) + len(keys) for before, keys in zip(waits_for, awaits, strict=True)),
        milestones={number: tuple(whats) for number, whats in milestones.items()},
        hopeful=frozenset(_hopeful(task, waits_for, awaits)),
    )


def _hopeful(
    task: Task, waits_for: tuple[tuple[int, ...], ...], awaits: tuple[tuple[tuple[int, str], ...], ...]
) -> set[int]:
    """Back from every process that counts, through everything it waits for."""
    if not any(awaits):
        return set()  # nobody that counts may come after the success of an ephemeral one
    found: set[int] = set()
    left = [number for number, process in enumerate(task.processes) if not process.ephemeral]
    while left:
        number = left.pop()
        for before in (*waits_for[number], *(before for before, _ in awaits[number])):
            if task.processes[before].ephemeral and before not in found:
                found.add(before)
                left.append(before)
    return found
