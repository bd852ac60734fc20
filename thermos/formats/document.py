"""A file as a plain value, and where in the file each part of it stands.

JSON and YAML come here as the same few calls of a `Builder`, so that duplicate fields, places and depth have one
answer; nothing recurses.
"""

from __future__ import annotations

from thermos.config import path_text

from .problems import Problem, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from thermos.config.wording import Path, Value

DEEPEST = 100  # a task file needs five


class Place:
    """Where a value begins, where the names of its fields are, and the places of what is in it."""

    __slots__ = ("below", "column", "keys", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.keys: dict[str | int, tuple[int, int]] = {}
        self.below: dict[str | int, Place] = {}

    def locate(self, path: Path, at_key: bool) -> tuple[int, int]:
        """Line and column of the value at `path`, or of the nearest one around it that is in the file."""
        place = self
        for depth, step in enumerate(path):
            if at_key and depth == len(path) - 1 and step in place.keys:
                return place.keys[step]
            if step not in place.below:
                break
            place = place.below[step]
        return place.line, place.column


class Document:
    """A file's plain value. `place` is a call because most files are right and need no places.

    `aside`: what it says that a task has no place for.
    """

    __slots__ = ("_find", "_place", "aside", "problems", "value")

    def __init__(
        self,
        value: Value,
        find: Callable[[], Place],
        problems: list[Problem],
        aside: dict[str, Any] | None = None,
    ) -> None:
        self.value = value
        self._find = find
        self._place: Place | None = None
        self.problems = problems
        self.aside = aside or {}

    def place(self) -> Place:
        if self._place is None:
            self._place = self._find()
        return self._place


class Open:
    """A list or mapping being built. `key` is where the next value goes; None where a field's name comes next."""

    __slots__ = ("key", "place", "value")

    def __init__(self, value: list[Value] | dict[str, Value], place: Place) -> None:
        self.value = value
        self.place = place
        self.key: str | int | None = 0 if isinstance(value, list) else None


class Builder:
    """Builds a value and its places from the parts of a file, in their order."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.value: Value = None
        self.place = Place(1, 1)
        self.problems: list[Problem] = []
        self.stack: list[Open] = []

    def wants_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].key is None

    def key(self, name: str, line: int, column: int) -> None:
        top = self.stack[-1]
        top.key = name
        if name in top.place.keys:
            path = tuple(here.key for here in self.stack if here.key is not None)
            first, _ = top.place.keys[name]
            message = f"cannot use {path_text(path)}: duplicate field, first on line {first}"
            self.problems.append(Problem(self.file, line, column, path_text(path), message))
        else:
            top.place.keys[name] = (line, column)

    def add(self, value: Value, place: Place) -> None:
        """A value that is whole: a scalar, or a repeated one."""
        if not self.stack:
            self.value, self.place = value, place
            return
        top = self.stack[-1]
        key = top.key
        if isinstance(top.value, list):
            top.value.append(value)
            top.place.below[len(top.value) - 1] = place
            top.key = len(top.value)
        elif isinstance(key, str):
            top.value[key] = value
            top.place.below[key] = place
            top.key = None

    def open(self, value: list[Value] | dict[str, Value], place: Place) -> None:
        if len(self.stack) >= DEEPEST:
            raise unreadable(self.file, place.line, place.column, f"nested more than {DEEPEST} levels deep")
        self.stack.append(Open(value, place))

    def close(self) -> Open:
        """End the innermost list or mapping, and put it where it belongs."""
        whole = self.stack.pop()
        self.add(whole.value, whole.place)
        return whole
