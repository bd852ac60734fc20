"""Make a sandbox once, in children that go away at once: what the host cannot give is known before anything starts.

Nothing is left behind: mounts and namespaces go with the last process in them. Only a root whose changes are on disk
keeps the empty directories that were made in it to mount on, as it would from the real one.
"""

from __future__ import annotations

import marshal
import os

from . import spawn, syscalls
from .plan import parts, without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .plan import Plan

_MAKE = "make "


def rehearse(plan: Plan) -> tuple[str, str] | None:
    """The first part of a plan that cannot be had, and without which what is required cannot either; and why. Or None.

    What is not required and cannot be had either is left out, as it would be. Raises OSError where no process can be
    forked, and `spawn.Failure` where one was killed.
    """
    while True:
        failure = _attempt(plan)
        if failure is None:
            return None
        part, why = failure
        left = without(plan, part)
        lost = set(parts(plan)) - set(parts(left))  # less a namespace: less all that belongs to it
        if part not in lost or not plan.required.isdisjoint(lost):
            return part, why
        plan = left


def _attempt(plan: Plan) -> tuple[str, str] | None:
    return failure_of(lambda: _failure(plan))


def failure_of(attempt: Callable[[], tuple[str, str] | None]) -> tuple[str, str] | None:
    """What an attempt gives that is made in a child, which goes away. Raises OSError where no process can be forked,
    and `spawn.Killed`."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        try:
            os.close(reader)
            os.write(writer, marshal.dumps(attempt()))
        finally:
            os._exit(0)
    os.close(writer)
    said = b""
    while more := os.read(reader, 65536):
        said += more
    os.close(reader)
    status = os.waitpid(pid, 0)[1]
    if not said:
        raise spawn.Killed("rehearse", 0, f"the process that rehearses it ended with status {status}")
    failure: tuple[str, str] | None = marshal.loads(said)
    return failure


def _failure(plan: Plan) -> tuple[str, str] | None:
    """In a process of its own: its next child would be born in the pid namespace that it makes."""
    if plan.clone:
        try:
            syscalls.unshare(plan.clone)
        except OSError as error:
            return "pid", f"cannot {_MAKE}pid: {error.strerror}"
    child = spawn.fork_first(plan, ["rehearsal"], stays=False)
    child.go()
    try:
        child.wait()
    except spawn.Failure as failure:
        return failure.step.removeprefix(_MAKE), f"cannot {failure.step}: {failure.text}"
    finally:
        os.waitpid(child.pid, 0)
    return None
