"""Asks a task's supervisor for something, and says in words why it was not done."""

from __future__ import annotations

import time
from typing import Any

from thermos import paths
from thermos.checkpoint import follow, tasks
from thermos.core.task import Accepted
from thermos.runtime import control

from .kind import Cannot

#: Seconds that a restarting supervisor, or a new one, is given to be there.
PATIENCE = 30.0

#: Seconds between two looks for it: a socket that begins to listen wakes nobody.
A_MOMENT = 0.2


def ask(root: str, accepted: Accepted, message: dict[str, object]) -> dict[str, Any]:
    """Return its answer when the supervisor has agreed. Raises Cannot, control.NotSupervised."""
    what = f"{message['request']} {accepted.task_id}"
    try:
        answer = control.request(paths.task_dir(root, accepted.task_id), message)
    except PermissionError:
        raise Cannot(f"cannot {what}: only root and the task's owner may") from None
    except TimeoutError:
        raise Cannot(f"cannot {what}: its supervisor does not answer") from None
    if not answer["ok"]:
        raise Cannot(f"cannot {what}: {answer['why']}")
    return answer


def ask_once(root: str, accepted: Accepted, message: dict[str, object], what: str = "") -> dict[str, Any]:
    """The same, for what is not asked again once somebody may have heard it. Raises Cannot.

    A supervisor that is just being restarted is waited for.
    """
    task_id = accepted.task_id
    what = what or f"{message['request']} {task_id}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask(root, accepted, message)
        except control.NotSupervised as error:
            unheard = isinstance(error, control.NotListening)
        if not tasks.supervised(root, task_id):
            over = tasks.status(root, task_id).ended_at is not None
            why = "the task has ended" if over else f"nobody is in charge: thermos resume {task_id}"
            raise Cannot(f"cannot {what}: {why}")
        if not unheard:
            raise Cannot(f"cannot {what}: its supervisor has just died and may have heard it: look, and ask again")
        if time.monotonic() > deadline:
            raise Cannot(f"cannot {what}: its supervisor does not listen")
        with follow.Follower(root, task_id) as follower:
            follower.wait(A_MOMENT)
