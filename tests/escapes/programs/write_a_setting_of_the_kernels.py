"""Write to /proc/sys."""

from hostile import bait, put

put(f"/proc/sys/{bait.name}", bait.value, 0)
