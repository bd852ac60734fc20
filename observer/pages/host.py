"""The host: its totals, and its tasks, newest first."""

from __future__ import annotations

import fnmatch
import socket
from collections import Counter
from collections.abc import Callable
from typing import get_args

from observer.tasks import Observed
from thermos.core.fold import Stage

from . import task as task_page
from .kind import Asked, BadRequest, Page, Snapshot, Values

#: Rows of a page for people. Programs get everything unless they set a limit.
_ROWS = "100"


def view(snapshot: Snapshot, asked: Asked) -> Values:
    """`tasks` are those that `state`, `name` and `active` select, from `offset` on and at most `limit` of them."""
    chosen = sorted(filter(_selection(asked), snapshot.tasks), key=_newest_first)
    offset = _number(asked, "offset") or 0
    limit = _number(asked, "limit")
    end = None if limit is None else offset + limit
    states = Counter(task.status.state if task.status else "unreadable" for task in snapshot.tasks)
    return {
        "hostname": socket.gethostname(),
        "host": snapshot.sampler.host(),
        "roots": snapshot.tasks.roots,
        "problems": list(snapshot.tasks.problems.values()),
        "states": {state: states[state] for state in (*get_args(Stage), "unreadable") if states[state]},
        "active": sum(not task.ended for task in snapshot.tasks),
        "tasks": [task_page.summary(snapshot, task) for task in chosen[offset:end]],
        "total": len(chosen),
        "offset": offset,
        "limit": limit,
    }


def _newest_first(task: Observed) -> tuple[float, str]:
    """What cannot be read comes before everything: somebody should look at it."""
    status = task.status
    return -status.created_at if status else float("-inf"), task.task_id


def _selection(asked: Asked) -> Callable[[Observed], bool]:
    """Whether a task is among those asked for. Raises BadRequest."""
    states = _states(asked["state"]) if "state" in asked else None
    name = asked.get("name", "*")
    active = asked.get("active")
    if active not in (None, "0", "1"):
        raise BadRequest(f"cannot use active={active}: 1 selects tasks that have not ended, 0 those that have")

    def selected(task: Observed) -> bool:
        status = task.status
        named = fnmatch.fnmatchcase(task.task_id, name) or fnmatch.fnmatchcase(status.name if status else "", name)
        return (
            named
            and (states is None or (status.state if status else "unreadable") in states)
            and (active is None or task.ended == (active == "0"))
        )

    return selected


def _states(wanted: str) -> list[str]:
    known = (*get_args(Stage), "unreadable")
    states = wanted.split(",")
    if not set(states) <= set(known):
        raise BadRequest(f"cannot use state={wanted}: it is one of {', '.join(known)}, or several with commas")
    return states


def _number(asked: Asked, name: str) -> int | None:
    text = asked.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(f"cannot use {name}={text}: it is a whole number")
    return int(text)


PAGE = Page("/", "host.html", view, api="/api/tasks", answer="tasks", defaults=(("limit", _ROWS),))
