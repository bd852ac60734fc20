"""The namespaces a sandbox may have: a table, one file per row. Pure.

The order is the order in which they are set up inside the sandbox's first process.
"""

from __future__ import annotations

from . import ipc, mount, pid, uts
from .kind import Namespace

NAMESPACES: dict[str, Namespace] = {row.name: row for row in (pid.ROW, mount.ROW, ipc.ROW, uts.ROW)}

__all__ = ["NAMESPACES", "Namespace"]
