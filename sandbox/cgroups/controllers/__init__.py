"""The controllers whose limits and figures are used: a table, one file per row. Pure.

A row is imported when its limits or its figures are asked for: most tasks limit three things, and whoever starts one
waits for every module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.spec import Limits

    from .kind import Row


class Controller:
    """`name`: version 2's, and the row's file; `tree`: version 1's name for it; `fields`: of Limits.

    `always`: every group has it, asked for or not.
    """

    __slots__ = ("always", "fields", "name", "tree")

    def __init__(self, name: str, tree: str, fields: tuple[str, ...], always: bool) -> None:
        self.name = name
        self.tree = tree
        self.fields = fields
        self.always = always

    def row(self) -> Row:
        row: Row = __import__(f"{__name__}.{self.name}", fromlist=["v1"])
        return row


CONTROLLERS: dict[str, Controller] = {
    each.name: each
    for each in (
        Controller("cpu", "cpu", ("cpu", "cpu_weight", "cpu_burst"), True),
        Controller("memory", "memory", ("memory", "swap", "memory_low", "memory_high", "oom"), True),
        Controller("pids", "pids", ("pids",), True),
        Controller("io", "blkio", ("io", "io_weight"), False),
        Controller("cpuset", "cpuset", ("cpus", "mems"), False),
        Controller("devices", "devices", ("devices",), False),
    )
}


def needed(*limits: Limits) -> list[str]:
    """The controllers that a group has only where they are asked for, and that are: for `tree.make`."""
    asked = {name for each in limits for name in each.asked()}
    return [name for name, each in CONTROLLERS.items() if not each.always and asked & set(each.fields)]
