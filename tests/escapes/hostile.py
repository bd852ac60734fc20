"""What hostile programs have in common; put in front of each, which may `from hostile import ...` it.

A program gets words NAME=VALUE from the row that sets its bait: they are `bait.NAME`. Nothing here depends on a file
that a sandbox might hide.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from types import SimpleNamespace

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.shmat.restype = ctypes.c_void_p
bait = SimpleNamespace(**dict(word.split("=", 1) for word in sys.argv[1:]))

_ARM = os.uname().machine == "aarch64"

#: Numbers of calls for which glibc has no function: (x86_64, aarch64). From 424 on they are the same everywhere.
_NUMBERS = {
    "pivot_root": (155, 41),
    "reboot": (169, 142),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "ioprio_set": (251, 30),
    "clone": (56, 220),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "clone3": (435, 435),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
}


def checked(result: int, what: str = "") -> int:
    if result in (-1, None, ctypes.c_size_t(-1).value):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def call(name: str, *arguments: object) -> int:
    """A system call by its name. Raises OSError."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return checked(libc.syscall(ctypes.c_long(_NUMBERS[name][_ARM]), *words), name)


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    words = (source.encode(), target.encode(), fstype.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    checked(libc.mount(*words), "mount")


def put(path: str, text: str, flags: int = os.O_CREAT | os.O_TRUNC) -> None:
    """Write a file with one write."""
    fd = os.open(path, os.O_WRONLY | flags, 0o755)
    os.write(fd, text.encode())
    os.close(fd)


def hold(*, ready: bool = True) -> None:
    """Stay as it is until those who look have looked. Not `ready`: another process says when there is all to see."""
    if ready:
        with contextlib.suppress(OSError):
            os.close(os.open(os.path.join(_HERE, "held"), os.O_WRONLY | os.O_CREAT))
    last = time.monotonic() + 10
    while not os.path.exists(os.path.join(_HERE, "seen")) and time.monotonic() < last:
        time.sleep(0.01)


_HERE = os.getcwd()

#: Said first: so nobody takes a program that never ran for one that was stopped.
print("began", flush=True)
