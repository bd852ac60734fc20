"""Unmount what covers or guards /proc/sys, and write to it."""

from hostile import bait, libc, put

MNT_DETACH = 2
while libc.umount2(b"/proc/sys", MNT_DETACH) == 0:
    pass
put(f"/proc/sys/{bait.name}", bait.value, 0)
