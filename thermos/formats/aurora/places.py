"""Where in a file each struct was made. pystachio keeps no such thing, so it is told to: here, once, for good.

A struct remembers the call that made it, and of that call where each field's value is written. A changed copy
(`process(name="x")`) remembers both calls; `bind` and filling in keep what there was.
"""

from __future__ import annotations

import ast
import inspect

from pystachio.composite import Structural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

    #: File, line from 1, column from 1.
    Spot = tuple[str, int, int]


class Made:
    """`top`: the line of the first file that led here; `fields`: where the values of fields are, with theirs."""

    __slots__ = ("fields", "here", "top")

    def __init__(self, here: Spot, top: Spot, fields: dict[str, tuple[Spot, Spot]]) -> None:
        self.here = here
        self.top = top
        self.fields = fields


class Sources:
    """The files that are being run: their text by the name that frames know them by."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.lines: dict[str, list[str]] = {}
        self._keywords: dict[tuple[str, int, int, int, int], dict[str, tuple[int, int]]] = {}
        self._positions: dict[CodeType, list[Any]] = {}

    def add(self, file: str, text: str, tree: ast.Module) -> None:
        self.lines[file] = text.split("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.keywords:
                key = (file, node.lineno, node.end_lineno or 0, node.col_offset, node.end_col_offset or 0)
                self._keywords[key] = {
                    keyword.arg: (keyword.value.lineno, keyword.value.col_offset)
                    for keyword in node.keywords
                    if keyword.arg
                }

    def spot(self, file: str, line: int, offset: int) -> Spot:
        """`offset` is what the parser counts: bytes of UTF-8."""
        lines = self.lines[file]
        text = lines[line - 1] if line <= len(lines) else ""
        return file, line, len(text.encode()[:offset].decode(errors="replace")) + 1

    def at(self, code: CodeType, instruction: int) -> tuple[int, int, int, int]:
        """First and last line, first and last offset of what a frame is doing."""
        positions = self._positions.get(code)
        if positions is None:
            positions = self._positions[code] = list(code.co_positions())
        line, last_line, offset, last_offset = positions[instruction // 2]
        return line or code.co_firstlineno, last_line or 0, offset or 0, last_offset or 0

    def made(self) -> Made | None:
        """The call under way."""
        frame: FrameType | None = inspect.currentframe()
        here: FrameType | None = None
        while frame is not None:
            file = frame.f_code.co_filename
            if here is None and file in self.lines:
                here = frame
            if here is not None and file == self.top:
                break
            frame = frame.f_back
        if here is None:
            return None
        file = here.f_code.co_filename
        line, last_line, offset, last_offset = self.at(here.f_code, here.f_lasti)
        spot = self.spot(file, line, offset)
        top = spot
        if frame is not None and frame is not here:
            top_line, _, top_offset, _ = self.at(frame.f_code, frame.f_lasti)
            top = self.spot(self.top, top_line, top_offset)
        keywords = self._keywords.get((file, line, last_line, offset, last_offset), {})
        fields: dict[str, tuple[Spot, Spot]] = {}
        for name, place in keywords.items():
            field = self.spot(file, *place)
            fields[name] = (field, field if file == self.top else top)
        return Made(spot, top, fields)


_sources: Sources | None = None


def remember(sources: Sources) -> None:
    """From now on every struct knows where in these it was made: `made_of` tells."""
    global _sources
    told_already = _sources is not None
    _sources = sources
    if not told_already:
        _tell_pystachio()


def _made() -> Made | None:
    return None if _sources is None else _sources.made()


def _tell_pystachio() -> None:
    plain_init, plain_dup = Structural.__init__, Structural.dup
    plain_call, plain_interpolate = Structural.__call__, Structural.interpolate
    copying = False

    def init(self: Any, *arguments: Any, **fields: Any) -> None:
        plain_init(self, *arguments, **fields)
        if not copying:
            self._made = _made()

    def dup(self: Any) -> Any:
        nonlocal copying
        before, copying = copying, True
        try:
            copy = plain_dup(self)
        finally:
            copying = before
        copy._made = made_of(self)
        return copy

    def call(self: Any, **fields: Any) -> Any:
        changed = plain_call(self, **fields)
        now, before = _made(), made_of(self)
        if now is not None:
            known = now.fields if before is None else {**before.fields, **now.fields}
            changed._made = Made(now.here, now.top, known)
        return changed

    def interpolate(self: Any) -> Any:
        nonlocal copying
        before, copying = copying, True
        try:
            filled, unbound = plain_interpolate(self)
        finally:
            copying = before
        filled._made = made_of(self)
        return filled, unbound

    told: Any = Structural
    told.__init__, told.dup, told.__call__, told.interpolate = init, dup, call, interpolate


def made_of(struct: Any) -> Made | None:
    return struct.__dict__.get("_made")  # type: ignore[no-any-return]
