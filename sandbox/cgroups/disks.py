"""What a device is called in the kernel's groups: disks and device nodes by their numbers."""

from __future__ import annotations

import os
import stat


def whole_disk(where: str) -> str:
    """The disk of a block device, of a partition, or of the file system that a path is on: "MAJOR:MINOR".

    Throttling is per disk; the kernel refuses a partition's number. Raises ValueError: there is none.
    """
    device = where if where.replace(":", "", 1).isdecimal() and ":" in where else _of_path(where)
    directory = f"/sys/dev/block/{device}"
    if not os.path.exists(directory):
        raise ValueError(f"there is no block device {device}")
    if os.path.exists(f"{directory}/partition"):
        with open(f"{directory}/../dev", encoding="ascii") as file:
            return file.read().strip()
    return device


def _of_path(path: str) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot look at {path}: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISBLK(status.st_mode):
        return _numbers(status.st_rdev)
    if os.major(status.st_dev):
        return _numbers(status.st_dev)
    # A number of the file system's own, as btrfs has; where it says what it is on, that is it.
    kind, source = _mounted(_numbers(status.st_dev))
    try:
        below = os.stat(source) if source.startswith("/") else None
    except OSError:
        below = None
    if below is None or not stat.S_ISBLK(below.st_mode):
        raise ValueError(f"{path} is on no disk, but on {kind or 'a file system that has none'}")
    return _numbers(below.st_rdev)


def _numbers(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _mounted(device: str) -> tuple[str, str]:
    """The type and the source of the file system with this number."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if left.split(" ")[2] == device:
                kind, source, *_ = right.split(" ")
                return kind, source
    return "", ""


def node(path: str) -> str:
    """A device node as rules name it: "c MAJOR:MINOR" or "b MAJOR:MINOR". Raises ValueError: it is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot look at {path}: {getattr(error, 'strerror', None) or error}") from error
    for test, letter in ((stat.S_ISCHR, "c"), (stat.S_ISBLK, "b")):
        if test(status.st_mode):
            return f"{letter} {_numbers(status.st_rdev)}"
    raise ValueError(f"{path} is no device")


def schedulers() -> set[str]:
    """Those in use: of `none mq-deadline [bfq]` the one in brackets."""
    found: set[str] = set()
    for disk in os.listdir("/sys/block") if os.path.isdir("/sys/block") else ():
        try:
            with open(f"/sys/block/{disk}/queue/scheduler", encoding="ascii") as file:
                found.update(word[1:-1] for word in file.read().split() if word.startswith("["))
        except OSError:
            pass
    return found
