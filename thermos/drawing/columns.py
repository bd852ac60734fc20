"""How wide a text is where every character has one width: on a terminal, in columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

#: Keeps a name that reads from right to left from turning the line around it (Unicode UAX 9); both have no width.
ISOLATE, END_OF_ISOLATE = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
_RIGHT_TO_LEFT = ("R", "AL", "AN")


def pieces(text: str) -> list[tuple[str, int]]:
    """The text in pieces of one or two columns: a character, with those around it that have no width of their own."""
    found: list[tuple[str, int]] = []
    leading = ""
    for character in text:
        columns = _width(character)
        if columns:
            found.append((leading + character, columns))
            leading = ""
        elif found:
            found[-1] = (found[-1][0] + character, found[-1][1])
        else:
            leading += character
    return found


def width(text: str) -> int:
    """Columns."""
    return len(text) if text.isascii() else sum(columns for _, columns in pieces(text))


def visible(text: str) -> str:
    """The text; one that would not be seen at all gets something to stand on."""
    return text if width(text) else f"\N{DOTTED CIRCLE}{text}"


def shortened(text: str, most: int) -> str:
    """At most `most` columns of it, the middle left out: what names in a row share is mostly their beginning."""
    if width(text) <= most:
        return text
    parts = pieces(text)
    back = _taken(reversed(parts), most // 3)
    front = _taken(parts, most - 1 - width("".join(back)))
    return "".join(front) + "…" + "".join(reversed(back))


def isolated(text: str) -> str:
    """The text, in a form that leaves the direction of what is around it alone."""
    if text.isascii() or not any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in text):
        return text
    return f"{ISOLATE}{text}{END_OF_ISOLATE}"


def _taken(parts: Iterable[tuple[str, int]], most: int) -> list[str]:
    taken: list[str] = []
    for text, columns in parts:
        if columns > most:
            break
        most -= columns
        taken.append(text)
    return taken


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
