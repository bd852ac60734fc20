"""How fast and how large thermos is beside its peers: a table, one file per kind of figure."""

from __future__ import annotations

from . import (
    chain,
    first_instruction,
    layers,
    many,
    memory,
    replacement,
    replay,
    restarts,
    sandbox,
    sandboxes,
    validating,
    wakeups,
    whole_run,
)
from .kind import Row

ROWS: tuple[Row, ...] = (
    *first_instruction.ROWS,
    *chain.ROWS,
    *many.ROWS,
    *layers.ROWS,
    *replay.ROWS,
    *replacement.ROWS,
    *restarts.ROWS,
    *memory.ROWS,
    *sandbox.ROWS,
    *sandboxes.ROWS,
    *validating.ROWS,
    *wakeups.ROWS,
    *whole_run.ROWS,
)
