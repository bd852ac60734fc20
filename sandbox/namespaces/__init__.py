"""The namespaces a sandbox may have: a table, one file per row. Pure.

The order is the order in which they are set up inside the sandbox's first process.
"""

from __future__ import annotations

from . import cgroup, ipc, mount, net, pid, time, user, uts
from .kind import Namespace

#: Users first: all others belong to them. Time before mount: its file is in the host's /proc.
NAMESPACES: dict[str, Namespace] = {
    row.name: row for row in (user.ROW, pid.ROW, time.ROW, mount.ROW, ipc.ROW, uts.ROW, cgroup.ROW, net.ROW)
}

__all__ = ["NAMESPACES", "Namespace"]
