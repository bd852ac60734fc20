"""The shape of a page: one view of plain values, shown to people as HTML and to programs as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from observer.tasks import Observed, Tasks
from observer.usage import Sampler

Values = dict[str, Any]
#: What a request asks for: the parts of its path and of its query, as text.
Asked = Mapping[str, str]


class NotFound(Exception):
    """There is no such thing; the message is a sentence for whoever asked."""


class BadRequest(Exception):
    """The request cannot be understood; the message says what was expected."""


class Snapshot(NamedTuple):
    """What views look at: everything the observer knows at one moment."""

    now: float  # seconds since the epoch
    tasks: Tasks
    sampler: Sampler

    def task(self, asked: Asked) -> Observed:
        """The task named by `task_id` and, where several roots have it, by `root`. Raises NotFound."""
        task_id = asked["task_id"]
        found = self.tasks.find(task_id, asked.get("root"))
        if not found:
            places = " or ".join(self.tasks.roots)
            raise NotFound(f"cannot find task {task_id}: there is none of that id under {asked.get('root') or places}")
        if len(found) > 1:
            places = " and ".join(task.root for task in found)
            raise NotFound(f"cannot tell which task {task_id} is meant: {places} each have one; add ?root=DIRECTORY")
        return found[0]


class Page(NamedTuple):
    """One row of the table of pages."""

    path: str  # for people
    template: str
    view: Callable[[Snapshot, Asked], Values]
    api: str | None = None  # the path of the same for programs ...
    answer: str = ""  # ... and which of the values they get
    defaults: tuple[tuple[str, str], ...] = ()  # of the query, for people
