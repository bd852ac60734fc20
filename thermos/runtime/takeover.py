"""Be in charge of a task that exists: take it over if nobody is, else stand by until it has ended."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import msgspec

from thermos import paths
from thermos.checkpoint import follow, lock, tasks
from thermos.core.state import State
from thermos.core.task import Accepted, Resources

from . import accept, control, ground, identity


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
    state = tasks.read_state(root, accepted)
    if state.ended:
        return  # it is resumed to be cleaned up
    if accepted.cgroups and not all(os.path.isdir(directory) for directory in accepted.cgroups.values()):
        _group_again(root, accepted, state)
    if accepted.task.resources.disk is not None:
        ground.limit_disk_again(root, accepted)


def _group_again(root: str, accepted: Accepted, state: State) -> None:
    """With the limits that it had last, and room for those of its processes. Raises CannotAccept."""
    from sandbox.cgroups import tree

    from . import limits

    name = os.path.basename(next(iter(accepted.cgroups.values())))
    processes = [
        {"name": process.name, "resources": _last(process.resources or Resources(), state.limits.get(number))}
        for number, process in enumerate(accepted.task.processes)
    ]
    wanted = _last(accepted.task.resources, state.limits.get(-1))
    group, rows = limits.isolate(name, accepted.isolation_mode, wanted, processes)
    try:
        if accepted.isolation_mode == "strict":
            accept.refuse_what_is_missing(rows, ("processes",))
        if group and group != accepted.cgroups:  # we are not where it was begun: in another session, say
            _have_moved(root, accepted, group)
    except BaseException:
        tree.remove_tree(group)
        raise


def _last(accepted: Resources, changed: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**msgspec.structs.asdict(accepted), **(changed or {})}


def _have_moved(root: str, accepted: Accepted, group: dict[str, str]) -> None:
    """Write down where a task's group is now. Nothing else of what was accepted ever changes. Raises CannotAccept."""
    path = f"{paths.task_dir(root, accepted.task_id)}/{paths.ACCEPTED}"
    new = f"{path}.new"
    try:
        with open(path, "rb") as file:
            words = json.load(file)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump({**words, "cgroups": group}, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, path)
    except OSError as error:
        raise accept.CannotAccept(73, f"cannot write {path}: {error.strerror}") from None


def sandbox_of(root: str, accepted: Accepted) -> str:
    """The directory that a keeper makes namespaces around, if the task is to have any, and has not ended."""
    if accepted.isolation_mode == "none" or tasks.read_state(root, accepted).ended:
        return ""
    return accepted.sandbox


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
    sandbox = sandbox_of(root, accepted)
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
    if ground.wanted(accepted) and ground.errands(root, accepted):
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
