"""Move a process of the host's to another group."""

from hostile import bait, put

put(bait.file, bait.pid, 0)
