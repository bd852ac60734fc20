"""Unmount something of the host's."""

from hostile import bait, checked, hold, libc

MNT_DETACH = 2
checked(libc.umount2(bait.where.encode(), MNT_DETACH))
hold()
