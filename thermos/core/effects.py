"""What is to be done to the world, in the imperative. Each follows from a record that is already in the journal.

`cause` is that record's sequence number. Carrying out the same effect twice must do nothing the second time.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Launch(msgspec.Struct, frozen=True, tag=True):
    """Start this run, unless it was started already."""

    process: int
    run: int
    cause: int


class Signal(msgspec.Struct, frozen=True, tag=True):
    """Send a signal to this run: SIGKILL to its whole cgroup, a stop to all of it, any other to its process group."""

    process: int
    run: int
    signal: int
    cause: int
    stop: bool = True  # it is meant to end the run


class Freeze(msgspec.Struct, frozen=True, tag=True):
    """Everything of the task stands still."""

    cause: int


class Thaw(msgspec.Struct, frozen=True, tag=True):
    """It goes on."""

    cause: int


class Limit(msgspec.Struct, frozen=True, tag=True):
    """Other limits for what runs; `Updated` says what came of it."""

    limits: dict[str, Any]
    process: int | None
    cause: int


class End(msgspec.Struct, frozen=True, tag=True):
    """The task is over: take the sandbox down and leave."""

    cause: int


Effect = Launch | Signal | Freeze | Thaw | Limit | End
