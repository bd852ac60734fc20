"""The pid namespace: processes see and signal only their own. Its first process's end is the end of all.

Who forks makes it, for its next child; its own /proc belongs to the mount namespace.
"""

from __future__ import annotations

from .kind import Namespace, nothing

ROW = Namespace("pid", 0x20000000, before=nothing)
