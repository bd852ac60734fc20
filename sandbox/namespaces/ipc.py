"""The ipc namespace: System V IPC objects and POSIX message queues of the sandbox's own."""

from __future__ import annotations

from .kind import Namespace

ROW = Namespace("ipc", 0x08000000)
