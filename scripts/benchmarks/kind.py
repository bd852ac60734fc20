"""The shape of a row: one figure of ours beside the same figure of a peer, if there is one, taken in turns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

#: Takes the figure once, and leaves nothing behind.
Sample = Callable[[], float]


class CannotMeasure(Exception):
    """A program did not do what is measured; the text says which and why."""


class NotThere(CannotMeasure):
    """A peer that is installed cannot work here: its row is left out, and the text says why."""


@dataclass(frozen=True)
class Place:
    """Where a side works: a directory of its own.

    `watch_secs`: for how long it watches what does nothing. `share`: the part of all there is to run that it runs,
    where all of it takes minutes.
    """

    directory: Path
    watch_secs: float
    share: float


@dataclass(frozen=True)
class Side:
    """`ready` sets up all that is not measured. `program`: without it (Debian's `package`) there is no figure."""

    name: str
    program: str
    package: str
    ready: Callable[[Place], AbstractContextManager[Sample]]


@dataclass(frozen=True)
class Row:
    """`most_ratio`: ours may be so many times the peer's. `most`: what ours may be. Neither: for information.

    `repeat`: how often each side is measured; None: as often as the command line says.
    """

    name: str
    what: str
    unit: str
    ours: Side
    peer: Side | None
    most_ratio: float | None = None
    most: float | None = None
    repeat: int | None = None
