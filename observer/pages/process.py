"""One process: what it is, and every run that is remembered."""

from __future__ import annotations

import msgspec

from observer.tasks import Observed
from thermos.checkpoint import tasks
from thermos.core.task import Process

from . import task as task_page
from .kind import Asked, NotFound, Page, Snapshot, Values


def view(snapshot: Snapshot, asked: Asked) -> Values:
    task = snapshot.task(asked)
    values = task_page.in_full(snapshot, task)
    return {
        "task": values,
        "process": find(values, asked["process"]),
        "definition": _definition(task, asked["process"]),
    }


def find(task: Values, name: str) -> Values:
    """A process of a task. Raises NotFound."""
    for process in task["processes"]:
        if process["name"] == name:
            found: Values = process
            return found
    raise NotFound(f"cannot find process {name}: task {task['task_id']} has none of that name")


def _definition(task: Observed, name: str) -> Process | None:
    """What the task file says of the process. Of an ended task it is read anew: it is not kept in memory."""
    try:
        accepted = task.accepted or tasks.read_accepted(task.root, task.task_id)
    except (tasks.NoSuchTask, OSError, msgspec.DecodeError):
        return None
    return next((process for process in accepted.task.processes if process.name == name), None)


PAGE = Page("/process/{task_id}/{process}", "process.html", view)
