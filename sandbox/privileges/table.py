"""The privileges a process may be given: a table, one file per row. Pure.

It is not this package's `__init__`, because the resident process imports `doing` from there and nothing else. The
order is the order of `doing.late`: what opens files comes before the limits of what may be open, and the filter of
system calls, which may forbid what the others need, comes last.
"""

from __future__ import annotations

from . import capabilities, cpus, ionice, landlock, nice, oom_score_adj, rlimits, scheduling, seccomp
from .kind import Kernel, Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asked import Privileges
    from .kind import Step

__all__ = ["PRIVILEGES", "Kernel", "Privilege", "Refused", "describe", "lacking", "problems", "steps"]

PRIVILEGES: dict[str, Privilege] = {
    row.name: row
    for row in (
        oom_score_adj.ROW,
        nice.ROW,
        ionice.ROW,
        cpus.ROW,
        scheduling.ROW,
        landlock.ROW,
        capabilities.ROW,
        rlimits.ROW,
        seccomp.ROW,
    )
}


def steps(asked: Privileges, kernel: Kernel, *, root_user: bool) -> tuple[Step, ...]:
    """What each process carries out, for `doing.early` and `doing.late`: both take all of it.

    `root_user`: whether the process's user is number 0 where it runs (in its user namespace, if it has one). What the
    kernel lacks is left out: ask `lacking` first. Raises Refused.
    """
    return tuple(step for row in PRIVILEGES.values() for step in row.steps(asked, kernel, root_user))


def describe(asked: Privileges, *, root_user: bool = True) -> list[tuple[str, str]]:
    """(what, how it was asked), what holds by default included. `root_user`: as for `steps`. Raises Refused."""
    return [said for row in PRIVILEGES.values() for said in row.describe(asked, root_user)]


def lacking(asked: Privileges, kernel: Kernel) -> list[tuple[str, str]]:
    """(what, why) of what this kernel cannot do; `what` as in `describe`, or a part of it."""
    return [said for row in PRIVILEGES.values() for said in row.lacking(asked, kernel)]


def problems(asked: Privileges, kernel: Kernel) -> list[Refused]:
    """What makes no sense, one of each row at a time, each once: rows look at what others are about."""
    found: dict[str, Refused] = {}
    for row in PRIVILEGES.values():
        try:
            row.steps(asked, kernel, False)
        except Refused as refused:
            found.setdefault(refused.field, refused)
    return list(found.values())
