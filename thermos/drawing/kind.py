"""The shape of a format: from a picture and the paper it goes on to the whole text of a drawing.

The text ends with a newline. Names and patterns are anybody's text: a format escapes them so that they are shown as
they are and change nothing else. The same picture on the same paper gives the same text, always.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from .picture import Picture


class Paper(msgspec.Struct, frozen=True):
    """Where a drawing is read. `columns`: None where there is no limit. `plain`: ASCII's characters only."""

    columns: int | None = None
    plain: bool = False


class Format(Protocol):
    def __call__(self, picture: Picture, paper: Paper, /) -> str: ...


class TooLarge(ValueError):
    """What cannot be drawn so; its text is a reason for people."""
