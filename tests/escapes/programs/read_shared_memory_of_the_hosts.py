"""Attach System V shared memory of another process of the same user, and read it."""

import ctypes

from hostile import bait, checked, libc

print(ctypes.string_at(checked(libc.shmat(int(bait.number), None, 0)), 32).decode())
