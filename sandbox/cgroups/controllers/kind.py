"""The shape of a row: one controller, version 1 and version 2 side by side."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.spec import Limits


class Limit:
    """One limit: files to write in order, the file that shows what holds, and how people write it."""

    __slots__ = ("asked", "got", "writes")

    def __init__(
        self, asked: str, writes: tuple[tuple[str, str], ...], got: Callable[[Callable[[str], str]], str]
    ) -> None:
        self.asked = asked
        self.writes = writes
        self.got = got  # given a function that reads a file of the group, what the kernel holds now


class Controller:
    """`v1`/`v2`: limits -> Limit, or None where nothing was asked."""

    __slots__ = ("name", "v1", "v2")

    def __init__(self, name: str, v1: Callable[[Limits], Limit | None], v2: Callable[[Limits], Limit | None]) -> None:
        self.name = name
        self.v1 = v1
        self.v2 = v2
