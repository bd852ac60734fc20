"""One task: its state, its processes, what they use and what isolation they got."""

from __future__ import annotations

import msgspec

from observer.tasks import Observed
from observer.usage import Usage
from thermos.core.status import ProcessStatus, TaskStatus

from .kind import Asked, Page, Snapshot, Values

_NOTHING = Usage()


def view(snapshot: Snapshot, asked: Asked) -> Values:
    return {"task": in_full(snapshot, snapshot.task(asked))}


def summary(snapshot: Snapshot, task: Observed) -> Values:
    """A task as `status --json` shows it, with its `usage`, and `error` where its files cannot be read to the end."""
    return {**_fields(task), "usage": snapshot.sampler.task(task)}


def in_full(snapshot: Snapshot, task: Observed) -> Values:
    """The same, with the `usage` of each process that runs."""
    values = _fields(task)
    usage = snapshot.sampler.all_of(task)
    processes: tuple[ProcessStatus, ...] = values["processes"]
    values["processes"] = [
        {**msgspec.structs.asdict(process), "usage": usage.processes.get(process.name, _NOTHING)}
        for process in processes
    ]
    values["usage"] = usage.task
    return values


def _fields(task: Observed) -> Values:
    status = task.asked()
    if status is None:
        values: Values = dict.fromkeys(TaskStatus.__struct_fields__)
        values |= {"task_id": task.task_id, "root": task.root, "name": "", "reason": "", "supervised": False}
        values |= {"ports": {}, "processes": (), "isolation": ()}
    else:
        values = msgspec.structs.asdict(status)
    return {**values, "error": task.error or None}


PAGE = Page("/task/{task_id}", "task.html", view, api="/api/tasks/{task_id}", answer="task")
