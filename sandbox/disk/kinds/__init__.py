"""The ways to limit a directory: a table, one file per row, best first."""

from __future__ import annotations

from . import loop, project, walker
from .kind import CannotLimit, Figure, Kind, in_blocks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kind import Watch as Watch

KINDS: dict[str, Kind] = {row.name: row for row in (project.ROW, loop.ROW, walker.ROW)}

__all__ = ["KINDS", "CannotLimit", "Figure", "Kind", "in_blocks"]
