"""Who a process is: pid and start time within one boot; and how it ended, for those who are not its parent."""

from __future__ import annotations

import os

from . import clock

_TICKS = os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """Changes with every boot, and with nothing else."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _stat(pid: int) -> list[str] | None:
    """/proc/PID/stat from the third field on; None where there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        text = os.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    return text[text.rindex(b")") + 2 :].decode().split()


def ticks(pid: int) -> int | None:
    """Field 22, the start time in clock ticks since boot: of the machine, not of our time namespace."""
    fields = _stat(pid)
    return None if fields is None else _start(fields)


def _start(fields: list[str]) -> int:
    return int(fields[19]) - round(clock.SHIFT * _TICKS)


def zombie_status(pid: int, started: int) -> int | None:
    """Field 52, the wait status of a zombie that nobody has reaped yet.

    The kernel shows 0 to those who may not trace the process, so a 0 is believed only of root and of ourselves.
    """
    fields = _stat(pid)
    if fields is None or fields[0] != "Z" or _start(fields) != started:
        return None
    status = int(fields[49])
    return status if status or os.geteuid() == 0 or _is_ours(pid) else None


def _is_ours(pid: int) -> bool:
    try:
        owner = os.stat(f"/proc/{pid}")
    except OSError:
        return False
    return (owner.st_uid, owner.st_gid) == (os.geteuid(), os.getegid())
