"""The cgroup namespace: a process sees its own group as the root of all, and no path of the host's.

It begins where its maker is. So each process makes one when it has joined its group (see `sandbox.spawn`), and that of
the first process, in whose group none of the others is, only shows that it can be had.
"""

from __future__ import annotations

from .kind import Namespace

ROW = Namespace("cgroup", 0x02000000)
