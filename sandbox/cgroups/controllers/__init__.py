"""The controllers whose limits and figures are used: a table, one file per row. Pure."""

from __future__ import annotations

from . import cpu, memory, pids
from .kind import Controller, Limit

CONTROLLERS: dict[str, Controller] = {row.name: row for row in (cpu.ROW, memory.ROW, pids.ROW)}

__all__ = ["CONTROLLERS", "Controller", "Limit"]
