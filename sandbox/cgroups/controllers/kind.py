"""The shape of a row: one controller, version 1 and version 2 side by side.

A row is a module with `v1` and `v2` (limits and where they are to hold -> changes), `FIGURES`, and `FRESH`: what those
files that the row looks at hold in a group without limits. It says which files are written for a limit and what they
hold then; it opens none. What it must know of the group before that, and of the host, it asks the `Place` it is given.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Protocol

    from sandbox.spec import Limits

    class Place(Protocol):
        """A group in one tree, on a host."""

        def read(self, file: str) -> str:
            """The stripped text of a file of the group. Raises OSError."""
            ...

        def below(self) -> list[str]:
            """The names of the groups in it."""
            ...

        def disk(self, where: str) -> str:
            """The whole disk of a device, or of a path on it: "MAJOR:MINOR". Raises ValueError: there is none."""
            ...

        def node(self, path: str) -> str:
            """A device node: "c MAJOR:MINOR" or "b MAJOR:MINOR". Raises ValueError: it is none."""
            ...

        def schedulers(self) -> set[str]:
            """The schedulers of the host's disks."""
            ...

    class Row(Protocol):
        @property
        def FIGURES(self) -> tuple[Figure, ...]: ...
        @property
        def FRESH(self) -> Mapping[str, str]: ...
        @property
        def v1(self) -> Callable[[Limits, Place], list[Change]]: ...
        @property
        def v2(self) -> Callable[[Limits, Place], list[Change]]: ...

    Read = Callable[[str], str]
    Pressure = tuple[float, int, float, int]


class Limit:
    """One limit, and how people write it: as it was asked for, and, by what the group's files say, as it is."""

    __slots__ = ("asked", "field", "got")

    def __init__(self, field: str, asked: str, got: Callable[[Read], str]) -> None:
        self.field = field  # of Limits
        self.asked = asked
        self.got = got  # given a function that reads a file of the group


class Change:
    """Files to write in this order, and the limits that this sets. Where a write fails, those before it are undone.

    `why`: nothing is written; the host cannot give these limits. `reasons`: what an errno means here, for people.
    `passing`: what the kernel refuses now it may take in a moment.
    `undo`: (file, text, what the file held before) -> the file and text that take it back, or None.
    """

    __slots__ = ("limits", "passing", "reasons", "undo", "why", "writes")

    def __init__(
        self,
        limits: Sequence[Limit],
        writes: Sequence[tuple[str, str]] = (),
        *,
        why: str = "",
        passing: bool = False,
        reasons: Mapping[int, str] | None = None,
        undo: Callable[[str, str, str], tuple[str, str] | None] | None = None,
    ) -> None:
        self.limits = limits
        self.writes = writes
        self.why = why
        self.passing = passing
        self.reasons = reasons or {}
        self.undo = undo or _as_before


def _as_before(file: str, text: str, before: str) -> tuple[str, str]:
    return file, before or "\n"  # a write of nothing never reaches the kernel


#: A row sees no more groups within one another than these: of a group that is not there each has another above it.
_DEEPEST = 32


def above(place: Place, file: str) -> Iterator[str]:
    """What a file holds in the groups above one, the nearest first, as far as the kernel shows them."""
    for depth in range(1, _DEEPEST):
        try:
            yield place.read(f"{'../' * depth}{file}")
        except OSError:
            return


def refused(field: str, asked: str, why: str) -> Change:
    return Change([Limit(field, asked, lambda read: "")], why=why)


class Figure:
    """A number that a file of a group holds. `tree`: the version 1 controller in whose directory, or "unified"."""

    __slots__ = ("field", "file", "parse", "tree")

    def __init__(self, field: str, tree: str, file: str, parse: Callable[[str], int | Pressure | None]) -> None:
        self.field = field  # of sandbox.usage.Usage
        self.tree = tree
        self.file = file
        self.parse = parse  # the file's text -> bytes, nanoseconds or a count; None: the text does not say


def whole(text: str) -> int:
    """A file with one number in it."""
    return int(text)


def keyed(key: str, times: int = 1) -> Callable[[str], int | None]:
    """A file with lines of `<key> <number>`: one of the numbers, `times` so much. None: no such line."""

    def parse(text: str) -> int | None:
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value) * times
        return None

    return parse


def pressure(text: str) -> Pressure | None:
    """A file of pressure stall information: lines `some` and, mostly, `full`, of which the rest is `<key>=<number>`.

    The share of the last 10 s, in percent, in which at least one process waited, and how long in all, in
    microseconds; then the same for all of them at once. The kernel's Documentation/accounting/psi.rst.
    """
    lines = {line[:4]: dict(word.split("=") for word in line.split()[1:]) for line in text.splitlines()}
    some, full = lines.get("some"), lines.get("full", {})
    if some is None:
        return None
    return float(some["avg10"]), int(some["total"]), float(full.get("avg10", 0)), int(full.get("total", 0))
