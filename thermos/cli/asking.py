"""Asks a task's supervisor for something, and says in words why it was not done."""

from __future__ import annotations

from typing import Any

from thermos import paths
from thermos.checkpoint import tasks
from thermos.core.task import Accepted
from thermos.runtime import control

from .kind import Cannot


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
    """The same, for what is not asked again: it may have arrived before the supervisor went away. Raises Cannot."""
    task_id = accepted.task_id
    what = what or f"{message['request']} {task_id}"
    try:
        return ask(root, accepted, message)
    except control.NotSupervised:
        if tasks.supervised(root, task_id):
            raise Cannot(f"cannot {what}: its supervisor is just being restarted") from None
        over = tasks.status(root, task_id).ended_at is not None
        why = "the task has ended" if over else f"nobody is in charge: thermos resume {task_id}"
        raise Cannot(f"cannot {what}: {why}") from None
