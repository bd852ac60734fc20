"""By which rule a process gets a processor: sched(7)."""

from __future__ import annotations

from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asked import Privileges
    from .kind import Kernel, Step

_POLICIES = {"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5}  # <linux/sched.h>
_REAL_TIME = ("fifo", "rr")


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    if asked.scheduling is None:
        return []
    name, colon, priority = asked.scheduling.partition(":")
    if name not in _POLICIES:
        raise Refused("scheduling", f"{asked.scheduling!r} is not other, batch, idle, fifo:1-99 or rr:1-99")
    if name in _REAL_TIME:
        if not (priority.isascii() and priority.isdecimal() and 1 <= int(priority) <= 99):
            raise Refused("scheduling", f"{name} needs a priority from 1 to 99, as {name}:10")
    elif colon:
        raise Refused("scheduling", f"{name} has no priorities; nice says how much")
    return [("scheduling", _POLICIES[name], int(priority or 0), asked.scheduling)]


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    return [] if asked.scheduling is None else [("scheduling", asked.scheduling)]


ROW = Privilege("scheduling", _steps, _describe)
