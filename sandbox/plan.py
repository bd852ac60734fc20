"""From what is asked to the steps that give it: the only place that knows their order. Pure."""

from __future__ import annotations

from .namespaces import NAMESPACES
from .ops import unshare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .ops import Op
    from .spec import Spec


class Plan:
    """`clone`: the pid namespace's bit, for the process that forks. `first`: steps of the sandbox's first process.
    `enter`: the bits of the namespaces that each later process enters."""

    __slots__ = ("clone", "enter", "first")

    def __init__(self, clone: int, first: list[Op], enter: int) -> None:
        self.clone = clone
        self.first = first
        self.enter = enter


def plan(spec: Spec) -> Plan:
    """The steps for a spec. Every namespace is left for a new one first, and each is then furnished in its turn."""
    rows = [row for name, row in NAMESPACES.items() if name in spec.namespaces]
    inside = [row for row in rows if row.name != "pid"]
    first = [unshare(row.name, row.flag) for row in inside]
    for row in rows:
        first += row.setup(spec)
    clone = NAMESPACES["pid"].flag if "pid" in spec.namespaces else 0
    enter = 0
    for row in inside:
        enter |= row.flag
    return Plan(clone, first, enter)


def without(given: Plan, part: str) -> Plan:
    """The plan less a part that the host could not give. Less a namespace: less all that belongs to it."""
    row = NAMESPACES.get(part)
    if row is None:
        return Plan(given.clone, [op for op in given.first if op[1] != part], given.enter)
    left = [op for op in given.first if op[0] != part]
    if part == "pid":  # a new /proc would show the processes of all, and be called private
        left = [op for op in left if op[1] != "/proc"]
    return Plan(given.clone & ~row.flag, left, given.enter & ~row.flag)


def parts(given: Plan) -> list[str]:
    """What a plan gives, each part once."""
    pid = ["pid"] if given.clone else []
    return [*pid, *dict.fromkeys(op[1] for op in given.first)]
