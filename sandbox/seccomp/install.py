"""Have the kernel run a program before each system call. In processes that must stay small: ctypes and nothing else."""

from __future__ import annotations

import ctypes
import os

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_SECCOMP_SET_MODE_FILTER = 1
_INSTRUCTION_SIZE = 8

_libc = ctypes.PyDLL(None, use_errno=True)
#: Looked up here: what a forked child looks up it forgets, and the search touches half of the C library.
_prctl, _syscall = _libc.prctl, _libc.syscall


class _Program(ctypes.Structure):
    """struct sock_fprog. Made here once: to make a type in a forked child costs more than to install the program."""

    _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


_ready: dict[bytes, object] = {}


def prepare(filter_program: bytes) -> None:
    """For a process that forks others which install this: half of the time that takes is then spent here, once."""
    if filter_program not in _ready:
        _ready[filter_program] = _argument(filter_program)


def _argument(filter_program: bytes) -> object:
    return ctypes.byref(_Program(len(filter_program) // _INSTRUCTION_SIZE, filter_program))


def install(filter_program: bytes, flags: int = 0, number: int = 0) -> None:
    """For this thread and all that it starts, until they end.

    `flags`: SECCOMP_FILTER_FLAG_*; they need the call seccomp(2), whose `number` on this machine then must be given.
    `sandbox.syscalls.set_no_new_privs` comes first. Raises OSError, with EINVAL on a kernel without seccomp filters.
    """
    argument = _ready.get(filter_program) or _argument(filter_program)
    if flags:
        result = _syscall(number, _SECCOMP_SET_MODE_FILTER, flags, argument)
    else:
        result = _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, argument, 0, 0)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "prctl(PR_SET_SECCOMP)")
