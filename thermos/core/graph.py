"""The order of a task's processes, as numbers: who waits for how many, and who waits for whom."""

from __future__ import annotations

import msgspec

from .task import Task


class Graph(msgspec.Struct, frozen=True):
    waits_for: tuple[tuple[int, ...], ...]  # process -> the processes it comes after
    followers: tuple[tuple[int, ...], ...]  # process -> the processes that come after it


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
    return Graph(waits_for, tuple(map(tuple, followers)))
