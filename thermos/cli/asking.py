"""Asks a task's supervisor for something, and says in words why it was not done."""

from __future__ import annotations

from thermos import paths
from thermos.core.task import Accepted
from thermos.runtime import control

from .kind import Cannot


def ask(root: str, accepted: Accepted, message: dict[str, object]) -> None:
    """Return when the supervisor has agreed. Raises Cannot, control.NotSupervised."""
    what = f"{message['request']} {accepted.task_id}"
    try:
        answer = control.request(paths.task_dir(root, accepted.task_id), message)
    except PermissionError:
        raise Cannot(f"cannot {what}: only root and the task's owner may") from None
    except TimeoutError:
        raise Cannot(f"cannot {what}: its supervisor does not answer") from None
    if not answer["ok"]:
        raise Cannot(f"cannot {what}: {answer['why']}")
