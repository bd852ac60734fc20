"""Processors a process runs on: sched_setaffinity(2). A wish it can take back; what holds is its cgroup's cpuset."""

from __future__ import annotations

from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asked import Privileges
    from .kind import Kernel, Step

#: NR_CPUS of the largest kernels; a bound for what a slip of the finger makes.
_MOST = 8192


def _cpus(text: str) -> tuple[int, ...]:
    """As the kernel's lists: 0-3,8."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdecimal() and int(end) < _MOST for end in ends):
            raise Refused("cpus", f"{part.strip()!r} is not a processor's number or a range like 0-3")
        if int(ends[0]) > int(ends[1]):
            raise Refused("cpus", f"{part.strip()!r} ends before it begins")
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    return tuple(sorted(found))


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    return [] if asked.cpus is None else [("cpus", _cpus(asked.cpus))]


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    return [] if asked.cpus is None else [("cpus", asked.cpus)]


ROW = Privilege("cpus", _steps, _describe)
