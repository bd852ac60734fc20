"""Files that the kernel makes up, those of its groups above all: one read, one write, and whose processes they name.

What is written to them is a request, which the kernel takes whole or refuses.
"""

from __future__ import annotations

import errno
import os

PROCS = "cgroup.procs"


def read(path: str) -> str:
    """The stripped text of a kernel file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16).decode().strip()
    finally:
        os.close(fd)


def write(path: str, text: str) -> None:
    """One write to a kernel file. Raises OSError with the path."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def others(directory: str) -> list[str]:
    """Pids of the processes in a group that are neither this one nor its children. 0: seen from no further in."""
    mine = {os.getpid(), *_children(os.getpid())}
    return [pid for pid in read(f"{directory}/{PROCS}").split() if int(pid) not in mine]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]
    except OSError:
        return []


def hand_on(directory: str, controllers: list[str]) -> None:
    """Let the children of a version 2 group have controllers, those of them that it has itself. Raises OSError.

    EBUSY where it holds processes, other than at the root. The kernel itself says so only of some controllers; cpu,
    pids and cpuset it would hand on, and make the group one of threads, in whose children no process can be.
    """
    there = read(f"{directory}/cgroup.controllers").split()
    enabled = read(f"{directory}/cgroup.subtree_control").split()
    missing = [name for name in controllers if name in there and name not in enabled]
    if missing:
        if os.path.exists(f"{directory}/cgroup.type") and read(f"{directory}/{PROCS}"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), directory)
        write(f"{directory}/cgroup.subtree_control", " ".join("+" + name for name in missing))
