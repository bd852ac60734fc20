"""Who a process is: pid and start time within one boot; and how it ended, for those who are not its parent."""

from __future__ import annotations

import os

from . import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def strays(env: Mapping[str, str]) -> Iterator[int]:
    """A pidfd, open for one turn, of every process that has inherited a task's environment; `env` is that of its runs.

    For tasks without cgroups: in those it says whose a process is.
    """
    marks = {f"{name}={env.get(name, '')}".encode() for name in ("THERMOS_SANDBOX", "THERMOS_TASK_ID")}
    for name in os.listdir("/proc"):
        try:
            pidfd = os.pidfd_open(int(name))
        except (ValueError, OSError):
            continue
        try:
            fd = os.open(f"/proc/{name}/environ", os.O_RDONLY | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                found = marks <= set(file.read().split(b"\0"))
            if found:
                yield pidfd
        except OSError:
            pass  # gone, or not ours to look at
        finally:
            os.close(pidfd)


def pid_inside(pid: int) -> int:
    """The number that a process has in the innermost pid namespace it is in; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"NSpid:"):
                    return int(line.split()[-1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


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
