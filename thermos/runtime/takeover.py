"""Be in charge of a task that exists: take it over if nobody is, else stand by until it has ended."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

import msgspec

from thermos import paths
from thermos.checkpoint import follow, lock, tasks
from thermos.core.state import State
from thermos.core.task import Accepted

from . import accept, control, identity


class CannotTakeOver(Exception):
    """The task cannot be taken over; the text says why."""


def take_lock(root: str, task_id: str) -> int:
    """The task's lock, taken: a descriptor; or -1 where somebody is in charge. Raises CannotTakeOver."""
    path = f"{paths.task_dir(root, task_id)}/{paths.LOCK}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise CannotTakeOver(f"cannot take over {task_id}: {error.strerror}: {path}") from None
    if lock.take(fd):
        return fd
    os.close(fd)
    return -1


def limits_again(root: str, accepted: Accepted) -> None:
    """Make the task's group again where a reboot has taken it away, and its disk: the limits are part of what was
    accepted. Raises CannotAccept."""
    if accepted.cgroups and not all(os.path.isdir(directory) for directory in accepted.cgroups.values()):
        from . import limits

        name = os.path.basename(next(iter(accepted.cgroups.values())))
        limits.isolate(name, "best-effort", msgspec.structs.asdict(accepted.task.resources))
    if accepted.task.resources.disk is not None:
        from . import ground

        ground.limit_disk_again(root, accepted)


def sandbox_of(accepted: Accepted) -> str:
    """The directory that a keeper makes namespaces around, if the task is to have any."""
    return "" if accepted.isolation_mode == "none" else accepted.sandbox


def take_over(root: str, task_id: str) -> bool:
    """Start a detached keeper for a task. True once the task is supervised, by it or by somebody else."""
    fd = take_lock(root, task_id)
    if fd < 0:
        return True
    accepted = tasks.read_accepted(root, task_id)
    try:
        limits_again(root, accepted)
    except accept.CannotAccept as error:
        raise CannotTakeOver(str(error)) from None
    sandbox = sandbox_of(accepted)
    done = accept.detach(lambda ready: accept.become_keeper(root, task_id, sandbox, fd, ready=ready))
    os.close(fd)
    return done


def over(root: str, accepted: Accepted) -> State | None:
    """The task's state if it has ended and nothing of it is left to be cleaned up."""
    state = tasks.read_state(root, accepted)
    if not state.ended or any(os.path.isdir(directory) for directory in accepted.cgroups.values()):
        return None
    if not accepted.cgroups and any(True for _ in identity.strays(accepted.env)):
        return None
    return state


def stand_by(root: str, accepted: Accepted) -> State | None:
    """Until a task that somebody else is in charge of has ended, or (None) nobody is in charge of it any more.

    SIGTERM and SIGINT kill it, as they do in `run`.
    """
    directory = paths.task_dir(root, accepted.task_id)

    def kill(number: int, frame: FrameType | None) -> None:
        del number, frame
        try:
            control.request(directory, {"request": "kill"})
        except (control.NotSupervised, OSError):
            pass

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, kill)
    seen = 0
    for state in follow.states(root, accepted):
        if state.ended:
            return state
        if _let_go(root, accepted.task_id, patiently=state.seq == seen):
            return None
        seen = state.seq
    raise AssertionError("the last state has ended")


def _let_go(root: str, task_id: str, patiently: bool) -> bool:
    """Whether nobody holds the lock. The kernel tells that it was closed an instant before it lets it go."""
    for _ in range(20 if patiently else 1):
        if not tasks.supervised(root, task_id):
            return True
        if patiently:
            time.sleep(0.005)
    return False
