"""Write a false message to the kernel's log."""

from hostile import bait, put

put("/dev/kmsg", f"<6>{bait.marker}\n", 0)
