"""Become root in a user namespace of its own: the door to most of the kernel."""

from hostile import checked, hold, libc

CLONE_NEWUSER = 0x10000000
checked(libc.unshare(CLONE_NEWUSER))
hold()
