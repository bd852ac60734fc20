"""Attach to another process of the same user as a debugger, and change its memory."""

import ctypes
import os

from hostile import bait, checked, libc

PTRACE_POKEDATA, PTRACE_ATTACH, PTRACE_DETACH = 5, 16, 17
pid = int(bait.pid)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
checked(libc.ptrace(PTRACE_ATTACH, pid, None, None))
os.waitpid(pid, 0)
checked(libc.ptrace(PTRACE_POKEDATA, pid, int(bait.address), int.from_bytes(b"hostile!", "little")))
checked(libc.ptrace(PTRACE_DETACH, pid, None, None))
