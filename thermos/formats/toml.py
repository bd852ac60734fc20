"""TOML by the standard library; read again, part by part, only to say where something is wrong.

The second reading takes a text that the first has found right, and so needs to know only where things begin and end.
Dates and times, which a task file has no use for, are refused.
"""

from __future__ import annotations

import re
import tomllib

from thermos.config.scalars import whole
from thermos.config.wording import path_text

from .document import DEEPEST, Document, Place
from .problems import Problem, TaskFileError, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from thermos.config.wording import Path

_STRING = r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\]|\\.)*"|\'[^\']*\''
_KEY = r'[A-Za-z0-9_\-]+|"(?:[^"\\]|\\.)*"|\'[^\']*\''
_BLANK = r"(?:[ \t\n]|#[^\n]*)*"
_WORDS = {
    "Cannot overwrite a value": "this gives a field a second time",
    "Cannot declare": "this table is there already",
    "Cannot mutate immutable namespace": "this adds to a table that is written whole elsewhere",
    "Expected '=' after a key in a key/value pair": "expected '=' after the name of a field",
    "Invalid value": "no value begins so; a text needs quotes",
}


def parse(text: str, file: str) -> Document:
    """Raises TaskFileError where the text is not TOML."""
    text = text.replace("\r\n", "\n")
    try:
        value: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise unreadable(file, *_wrong(text, str(error))) from None
    except ValueError:  # Python converts no more digits than so
        raise unreadable(file, 0, 0, "not TOML: a number has thousands of digits") from None
    except RecursionError:
        raise unreadable(file, 0, 0, f"nested more than {DEEPEST} levels deep") from None
    dates = _dates(value)
    if dates is None:
        raise unreadable(file, 0, 0, f"nested more than {DEEPEST} levels deep")
    if dates:
        raise TaskFileError(_refused(dates, _Scanner(text).places(), file))
    return Document(value, lambda: _Scanner(text).places(), [])


def _refused(dates: list[Path], place: Place, file: str) -> Iterator[Problem]:
    for path in dates:
        why = f"cannot use {path_text(path)}: a task file has no use for dates and times; put it in quotes"
        yield Problem(file, *place.locate(path, False), path_text(path), why)


def _wrong(text: str, message: str) -> tuple[int, int, str]:
    """Line, column and reason of one of tomllib's refusals, which name the place at their end."""
    found = re.fullmatch(r"(.*?) \(at line ([0-9]+), column ([0-9]+)\)", message, re.DOTALL)
    if found is not None:
        line, column = int(found[2]), int(found[3])
    else:
        found = re.fullmatch(r"(.*?) \(at end of document\)", message, re.DOTALL)
        line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
    why = found[1] if found is not None else message
    for theirs, ours in _WORDS.items():
        if why.startswith(theirs):
            names = re.findall(r"'([^']*)'", why[len(theirs) :])
            why = ours + (f": {path_text(tuple(names))}" if names else "")
    return line, column, f"not TOML: {why[:1].lower()}{why[1:]}"


def _dates(whole_value: dict[str, Any]) -> list[Path] | None:
    """Where dates and times stand; None for what is nested too deeply."""
    found: list[Path] = []
    open_: list[tuple[dict[str, Any] | list[Any], Path]] = [(whole_value, ())]
    while open_:
        value, path = open_.pop()
        if len(path) >= DEEPEST:
            return None
        pairs: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        for step, item in pairs:
            if type(item) in (dict, list):
                open_.append((item, (*path, step)))
            elif isinstance(item, int):
                if not isinstance(item, bool) and item.bit_length() > 300:
                    value[step] = whole(str(item))
            elif not isinstance(item, (str, float)):
                found.append((*path, step))
    return found


class _Scanner:
    """The places of a text that is TOML."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.line_start = 0
        self.counted = 0
        self.blank = re.compile(_BLANK)
        self.key = re.compile(_KEY)
        self.string = re.compile(_STRING, re.DOTALL)
        self.bare = re.compile(r"[^,\]}#\n]*")

    def places(self) -> Place:
        root = Place(1, 1)
        table = root
        while self.skip():
            if self.text.startswith("[", self.at):
                table = self.header(root)
            else:
                self.pair(table)
        return root

    def skip(self) -> bool:
        """Go to what comes next; False at the end."""
        found = self.blank.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return self.at < len(self.text)

    def here(self) -> tuple[int, int]:
        newlines = self.text.count("\n", self.counted, self.at)
        if newlines:
            self.line += newlines
            self.line_start = self.text.rindex("\n", self.counted, self.at) + 1
        self.counted = self.at
        return self.line, self.at - self.line_start + 1

    def keys(self) -> list[tuple[str, int, int]]:
        """The parts of a dotted name, each with its place."""
        parts: list[tuple[str, int, int]] = []
        while True:
            self.skip()
            found = self.key.match(self.text, self.at)
            assert found is not None  # the text has been found right
            line, column = self.here()
            name = found[0]
            if name[0] in "\"'":
                name = tomllib.loads(f"x = {name}")["x"]
            parts.append((name, line, column))
            self.at = found.end()
            self.skip()
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def header(self, root: Place) -> Place:
        line, column = self.here()
        several = self.text.startswith("[[", self.at)
        self.at += 2 if several else 1
        place = root
        parts = self.keys()
        self.at += 2 if several else 1
        for name, key_line, key_column in parts[:-1]:
            place.keys.setdefault(name, (key_line, key_column))
            place = _last(place.below.setdefault(name, Place(key_line, key_column)))
        name, key_line, key_column = parts[-1]
        place.keys.setdefault(name, (key_line, key_column))
        below = place.below.setdefault(name, Place(line, column))
        if several:
            below.below[len(below.below)] = below = Place(line, column)
        return below

    def pair(self, table: Place) -> None:
        parts = self.keys()
        self.at += 1  # the equals sign
        self.skip()
        for name, line, column in parts[:-1]:
            table.keys.setdefault(name, (line, column))
            table = table.below.setdefault(name, Place(line, column))
        name, line, column = parts[-1]
        table.keys[name] = (line, column)
        table.below[name] = self.value()

    def value(self) -> Place:
        """A value with all that is in it; what is nested is kept in a list of ours, not in calls."""
        outermost = Place(*self.here())
        open_: list[tuple[Place, bool]] = []  # and whether it is an array
        place = outermost
        while True:
            start = self.text[self.at : self.at + 1]
            if start in ("[", "{"):
                open_.append((place, start == "["))
                self.at += 1
            else:
                found = (self.string if start in ("'", '"') else self.bare).match(self.text, self.at)
                assert found is not None
                self.at = found.end()
            while open_:
                self.skip()
                inside, array = open_[-1]
                if self.text.startswith(",", self.at):
                    self.at += 1
                    self.skip()
                if self.text.startswith("]" if array else "}", self.at):
                    self.at += 1
                    open_.pop()
                    continue
                if array:
                    place = inside.below[len(inside.below)] = Place(*self.here())
                else:
                    place = self.in_table(inside)
                break
            if not open_:
                return outermost

    def in_table(self, table: Place) -> Place:
        """The name of the next field of an inline table, and the place of its value, which comes next."""
        parts = self.keys()
        self.at += 1
        self.skip()
        for name, line, column in parts[:-1]:
            table.keys.setdefault(name, (line, column))
            table = table.below.setdefault(name, Place(line, column))
        name, line, column = parts[-1]
        table.keys[name] = (line, column)
        place = table.below[name] = Place(*self.here())
        return place


def _last(place: Place) -> Place:
    """What a header means by the name of an array of tables: the table begun last."""
    number = len(place.below) - 1
    return place.below.get(number, place)
