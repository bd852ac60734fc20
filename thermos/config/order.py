"""What holds between the fields of a task: names, commands, and an order that can be kept.

Linear in the number of processes and of places where one is named after another; nothing here recurses.
"""

from __future__ import annotations

from .reading import UNKNOWN
from .wording import shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .reading import Reading
    from .wording import Path

NAMED_IN_A_CYCLE = 10


class Node:
    """A process as the order sees it.

    `after`: the processes it follows, each with the condition, its pattern, and the path where the file says so.
    """

    __slots__ = ("after", "name", "number", "process", "shown")

    def __init__(self, number: int, process: dict[str, Any]) -> None:
        self.number = number
        self.name: str = process["name"]
        self.shown = repr(shortened(self.name))
        self.process = process
        self.after: list[tuple[Node, str, str, Path]] = []


class Graph:
    """The processes by name. `whole`: no name is missing from it because it was wrong or has to wait."""

    __slots__ = ("nodes", "reading", "whole")

    def __init__(self, nodes: dict[str, Node], reading: Reading, *, whole: bool) -> None:
        self.nodes = nodes
        self.reading = reading
        self.whole = whole

    def find(self, name: Any, path: Path) -> Node | None:
        node = self.nodes.get(name) if name is not UNKNOWN else None
        if node is None and name is not UNKNOWN and self.whole:
            hint = self.reading.did_you_mean(name, self.nodes)
            self.reading.refuse(path, f"there is no process {shortened(name)!r}{hint}", relation=True)
        return node

    def link(
        self, before: Node | None, node: Node | None, path: Path, on: str = "succeeded", pattern: str = ""
    ) -> None:
        """`node` waits until `before` has come to `on`, as the file says at `path`."""
        if before is None or node is None:
            return
        node.after.append((before, on, pattern, path))
        first, then = before.process, node.process
        if UNKNOWN in (first["final"], then["final"], first["ephemeral"], then["ephemeral"]):
            return
        if first["final"] != then["final"]:
            final, other = (before, node) if first["final"] else (node, before)
            why = f"{final.shown} is final and {other.shown} is not: finalizers start when all others have ended"
            self.reading.refuse(path, why, relation=True)
        elif on == "healthy" and "health" not in first:
            self.reading.refuse(path, f"{before.shown} has no health check: give it one with 'health'", relation=True)
        elif on == "succeeded" and first["daemon"] is True:
            why = f"{node.shown} cannot come after the daemon {before.shown}, which has no end"
            advice = f"it may wait for that one to be started or healthy, as in {{{shortened(before.name)}: started}}"
            self.reading.refuse(path, f"{why}; {advice}", relation=True)
        elif on in ("succeeded", "completed", "failed") and first["ephemeral"] and not then["ephemeral"]:
            why = f"{node.shown} cannot come after {before.shown}, which is ephemeral: the task would not wait for it"
            self.reading.refuse(path, why, relation=True)


def check_order(task: dict[str, Any], reading: Reading) -> None:
    """Check the relations between a task's fields, and turn its constraints into each process's `after`."""
    constraints = task.pop("constraints")
    if task["resources"] is not UNKNOWN:
        del task["resources"]["gpu"]
    if task["processes"] is not UNKNOWN:
        _check_commands(task["processes"], reading)
        _check_orders(_graph(task["processes"], reading), _known(constraints), reading)
    _check_task_name(task, reading)


def _known(values: Any) -> list[Any]:
    return [] if values is UNKNOWN else values


def _check_orders(graph: Graph, constraints: list[Any], reading: Reading) -> None:
    nodes = list(graph.nodes.values())
    for node in nodes:
        for step, name, on, pattern in _known(node.process["after"]):
            path: Path = ("processes", node.number, "after", step)
            graph.link(graph.find(name, path), node, path, on, pattern)
    for number, constraint in enumerate(constraints):
        before: Node | None = None
        for place, name in enumerate([] if constraint is UNKNOWN else _known(constraint["order"])):
            path = ("constraints", number, "order", place)
            this = graph.find(name, path)
            graph.link(before, this, path)
            before = this
    for cycle, path in _cycles(nodes):
        reading.refuse(path, _describe(cycle), relation=True)
    for node in nodes:
        node.process["after"] = list(dict.fromkeys(before.name for before, on, _, _ in node.after if on == "succeeded"))
        others = {(before.name, on, pattern): None for before, on, pattern, _ in node.after if on != "succeeded"}
        if others:
            node.process["conditions"] = [
                {"process": name, "on": on, "pattern": pattern} for name, on, pattern in others
            ]


def _check_commands(processes: list[Any], reading: Reading) -> None:
    for number, process in enumerate(processes):
        if process is UNKNOWN:
            continue
        if process["cmdline"] is None and process["argv"] is None:
            why = "missing field 'cmdline' (run by bash) or 'argv' (a program and its arguments)"
            reading.refuse(("processes", number), why, relation=True)  # since `defaults` may give it


def _graph(processes: list[Any], reading: Reading) -> Graph:
    """The processes by name, every name checked; of those with the same name, the first."""
    nodes: dict[str, Node] = {}
    whole = True
    for number, process in enumerate(processes):
        if process is UNKNOWN or process["name"] is UNKNOWN:
            whole = False
            continue
        node = Node(number, process)
        path = ("processes", number, "name")
        first = nodes.setdefault(node.name, node)
        if first is not node:
            where = reading.shown(("processes", first.number), path)
            reading.refuse(path, f"duplicate name: {where} is called {node.shown} too", relation=True)
    return Graph(nodes, reading, whole=whole)


def _check_task_name(task: dict[str, Any], reading: Reading) -> None:
    processes = task["processes"]
    if task["name"] is None and processes is not UNKNOWN and processes[0] is not UNKNOWN:
        task["name"] = processes[0]["name"]


def _cycles(nodes: Iterable[Node]) -> Iterator[tuple[list[Node], Path]]:
    """Each circle in the order, latest first, with the path that makes its first member wait for its second."""
    stuck = _never_ready(nodes)
    walk_of: dict[int, int] = {}  # process -> the walk that came by it
    for start in stuck.values():
        trail: list[Node] = []
        node = start
        while node.number not in walk_of:
            walk_of[node.number] = start.number
            trail.append(node)
            # What is never ready waits for something that is never ready.
            node = next(before for before, _, _, _ in node.after if before.number in stuck)
        if walk_of[node.number] == start.number:
            cycle = trail[trail.index(node) :]
            following = cycle[1] if len(cycle) > 1 else node
            yield cycle, next(path for before, _, _, path in node.after if before is following)


def _never_ready(nodes: Iterable[Node]) -> dict[int, Node]:
    """The processes that are in a circle or wait for one: what is left when all that can run has run."""
    left = {node.number: node for node in nodes}
    waits_for = {node.number: len(node.after) for node in left.values()}
    followers: dict[int, list[Node]] = {number: [] for number in left}
    for node in left.values():
        for before, _, _, _ in node.after:
            followers[before.number].append(node)
    ready = [node for node in left.values() if not node.after]
    while ready:
        done = ready.pop()
        del left[done.number]
        for node in followers[done.number]:
            waits_for[node.number] -= 1
            if not waits_for[node.number]:
                ready.append(node)
    return left


def _describe(cycle: list[Node]) -> str:
    if len(cycle) == 1:
        return f"{cycle[0].shown} comes after itself"
    names = [shortened(node.name) for node in reversed(cycle)]
    if len(names) > NAMED_IN_A_CYCLE:
        names[NAMED_IN_A_CYCLE:] = [f"... ({len(names)} processes)"]
    return f"the order is a circle: {' -> '.join([*names, names[0]])}"
