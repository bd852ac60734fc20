"""Reads what is on disk about tasks: for the CLI, and for anyone who wants one look."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from thermos import paths
from thermos.core.evolve import evolve
from thermos.core.state import State, initial
from thermos.core.status import TaskStatus, status_of
from thermos.core.task import Accepted

from . import journal, lock

_accepted = msgspec.json.Decoder(Accepted)


class NoSuchTask(Exception):
    """There is no task of that id under that root."""


def task_ids(root: str) -> list[str]:
    """The ids under a root, sorted; none where the root does not exist. Raises PermissionError."""
    try:
        with os.scandir(paths.tasks_dir(root)) as entries:
            return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def read_accepted(root: str, task_id: str) -> Accepted:
    """`task.json`. Raises NoSuchTask, PermissionError, msgspec.DecodeError."""
    if "/" in task_id or task_id in ("", ".", ".."):
        raise NoSuchTask(task_id)
    try:
        with open(f"{paths.task_dir(root, task_id)}/{paths.ACCEPTED}", "rb") as file:
            return _accepted.decode(file.read())
    except FileNotFoundError:
        raise NoSuchTask(task_id) from None


def read_state(root: str, accepted: Accepted) -> State:
    """The fold of the journal as it is now. Raises journal.Damaged, journal.WrongVersion, PermissionError."""
    state = initial(accepted.task)
    try:
        for record in journal.read(f"{paths.task_dir(root, accepted.task_id)}/{paths.JOURNAL}"):
            evolve(state, record)
    except FileNotFoundError:
        pass  # accepted, and nobody has taken charge yet
    return state


def supervised(root: str, task_id: str) -> bool:
    """Whether a keeper or supervisor is in charge: whether somebody holds the lock."""
    try:
        fd = os.open(f"{paths.task_dir(root, task_id)}/{paths.LOCK}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return lock.held(fd)
    finally:
        os.close(fd)


def status(root: str, task_id: str) -> TaskStatus:
    """One task as it is now. Raises what read_accepted and read_state raise."""
    accepted = read_accepted(root, task_id)
    in_charge = supervised(root, task_id)
    return status_of(accepted, read_state(root, accepted), in_charge, root)


def statuses(root: str) -> Iterator[TaskStatus]:
    """Every task under a root, sorted by id."""
    for task_id in task_ids(root):
        yield status(root, task_id)
