"""How fast and how large thermos is beside its peers: a table, one file per kind of figure."""

from __future__ import annotations

from . import chain, first_instruction, memory, wakeups, whole_run
from .kind import Row

ROWS: tuple[Row, ...] = (
    *first_instruction.ROWS,
    *chain.ROWS,
    *memory.ROWS,
    *wakeups.ROWS,
    *whole_run.ROWS,
)
