"""Carry out the steps of one process once, in a child that goes away: what cannot be had is known before it starts."""

from __future__ import annotations

import marshal
import os

from sandbox import syscalls

from . import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .kind import Step


class _Telling:
    step = ""


def attempt(steps: Sequence[Step], credentials: tuple[int, int, Sequence[int]] | None) -> tuple[str, str] | None:
    """The first of the steps that fails, by its name in `table.describe`, and why. None: none does.

    `credentials`: as in `sandbox.spawn.Place`. The filter of system calls is left out: it would forbid the answer.
    Raises OSError where no process can be forked.
    """
    steps = [step for step in steps if step[0] != "seccomp"]
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        try:
            _try(steps, credentials, writer)
        finally:
            os._exit(0)
    os.close(writer)
    said = b""
    while more := os.read(reader, 1 << 12):
        said += more
    os.close(reader)
    os.waitpid(pid, 0)
    return marshal.loads(said) if said else None


def _try(steps: Sequence[Step], credentials: tuple[int, int, Sequence[int]] | None, writer: int) -> None:
    telling = _Telling()
    try:
        doing.early(steps, telling)
        if credentials is not None:
            telling.step = "become its user"
            uid, gid, groups = credentials
            os.setgroups(list(groups))
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        syscalls.set_no_new_privs()
        doing.late(steps, telling)
    except OSError as error:
        os.write(writer, marshal.dumps((telling.step.removeprefix("set "), f"{error.strerror} ({error.filename})")))
