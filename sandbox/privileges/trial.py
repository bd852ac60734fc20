"""Carry out the steps of one process once, in a child that goes away: what cannot be had is known before it starts."""

from __future__ import annotations

import os

from sandbox import syscalls
from sandbox.cgroups.kernel import write
from sandbox.rehearse import failure_of

from . import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .kind import Step


class _Telling:
    step = ""


def attempt(
    steps: Sequence[Step], credentials: tuple[int, int, Sequence[int]] | None, groups: Sequence[str] = ()
) -> tuple[str, str] | None:
    """The first of the steps that fails, by its name in `table.describe`, and why. None: none does.

    `credentials`: as in `sandbox.spawn.Place`. `groups`: files of cgroups that the child joins, by a "0": what it may
    have of a processor is theirs (see `cgroups.tree.of_processors`). The filter of system calls is left out: it would
    forbid the answer.
    Raises as `sandbox.rehearse.failure_of` does.
    """
    steps = [step for step in steps if step[0] != "seccomp"]
    return failure_of(lambda: _try(steps, credentials, groups))


def _try(
    steps: Sequence[Step], credentials: tuple[int, int, Sequence[int]] | None, groups: Sequence[str]
) -> tuple[str, str] | None:
    telling = _Telling()
    try:
        telling.step = "join its cgroup"
        for file in groups:
            write(file, "0")
        doing.early(steps, telling)
        if credentials is not None:
            telling.step = "become its user"
            uid, gid, others = credentials
            os.setgroups(list(others))
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        syscalls.set_no_new_privs()
        doing.late(steps, telling)
    except OSError as error:
        asked = f" ({error.filename})" if error.filename else ""
        return telling.step.removeprefix("set "), f"{error.strerror}{asked}"
    return None
