"""Which of a file's jobs or tasks is meant. Raises Unclear, its text for people."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from .choice import Choice

    T = TypeVar("T")

KEY = ("cluster", "role", "environment", "name")
NAMED_AT_MOST = 20


class Unclear(Exception):
    pass


def pick_job(jobs: Sequence[T], key: Callable[[T], str], task: Callable[[T], str], choice: Choice) -> T:
    """`key`: a job's CLUSTER/ROLE/ENVIRONMENT/NAME; `task`: the name of its task."""
    left = list(jobs)
    if choice.job is not None:
        wanted = choice.job.split("/")
        if len(wanted) > len(KEY) or not all(wanted):
            raise Unclear(f"--job is CLUSTER/ROLE/ENV/NAME, or the end of that, not {choice.job!r}")
        left = [job for job in left if key(job).split("/")[-len(wanted) :] == wanted]
        if not left:
            raise Unclear(f"there is no job {choice.job!r}: {_listed('job', list(map(key, jobs)))}")
    if choice.task is not None:
        named = [job for job in left if task(job) == choice.task]
        if not named:
            there = [f"{task(job)!r} of {key(job)}" for job in left]
            raise Unclear(f"no job has a task {choice.task!r}: {_listed('task', there)}")
        left = named
    if len(left) > 1:
        raise Unclear(f"name one with --job: {_listed('job', list(map(key, left)))}")
    return left[0]


def pick_task(tasks: Sequence[T], name: Callable[[T], str], choice: Choice) -> T:
    """The one that is called so, or the only one."""
    if choice.job is not None:
        raise Unclear("--job is for .aurora files; a .thermos file holds tasks: use --task")
    left = list(tasks)
    if choice.task is not None:
        left = [task for task in left if name(task) == choice.task]
        if not left:
            raise Unclear(f"there is no task {choice.task!r}: {_listed('task', list(map(name, tasks)))}")
    if len(left) > 1:
        what = "name one with --task" if choice.task is None else "their names are the same"
        raise Unclear(f"{what}: {_listed('task', list(map(name, left)))}")
    return left[0]


def _listed(what: str, there: list[str]) -> str:
    shown = there[:NAMED_AT_MOST]
    more = f", and {len(there) - len(shown)} more" if len(there) > len(shown) else ""
    return f"it holds {len(there)} {what}{'' if len(there) == 1 else 's'}: {', '.join(shown)}{more}"
