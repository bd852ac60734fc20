"""What a task says that is legal and yet may not be what was meant. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .task import Process, Rule, Task

#: Bytes: what execve and the C library take of a shell that does nothing.
_LEAST_RAM = 1 << 20


class Remark(msgspec.Struct, frozen=True):
    """`path`: of the value it is about, as `thermos.config` names paths; `message`: a sentence for people."""

    path: tuple[str | int, ...]
    message: str


def remarks(task: Task) -> list[Remark]:
    """In the order of the file, as far as that is known here; nothing for most tasks."""
    found = [*_of_the_task(task), *_of_daemons(task)]
    for number, process in enumerate(task.processes):
        found += (Remark(("processes", number, *path), message) for path, message in _of(process, task))
    return found


def _of_the_task(task: Task) -> Iterator[Remark]:
    regular = [process for process in task.processes if not process.final]
    counted = [process for process in regular if not process.ephemeral]
    if regular and not counted:
        why = "the task ends as soon as it begins: all its regular processes are ephemeral, and it waits for none"
        yield Remark(("processes",), why)
    if task.max_failures > len(counted) > 0:
        why = f"the task succeeds even if every process fails: max_failures is {task.max_failures}, and"
        yield Remark(("max_failures",), f"{why} {len(counted)} can be counted")
    if len(regular) < len(task.processes) and task.finalization_wait == 0:
        yield Remark(("finalization_wait",), "no finalizer will run: finalization_wait leaves them no time")
    ram = task.resources.ram
    if ram is not None and ram < _LEAST_RAM:
        why = f"hardly a process starts in {ram} bytes: '{ram}MiB' is written with its unit"
        yield Remark(("resources", "ram"), why)
    forever = [process.name for process in regular if process.daemon]
    if 0 < task.max_concurrency <= len(forever) < len(regular):
        other = next(process.name for process in regular if not process.daemon)
        why = f"'{other}' may never get a place: max_concurrency is {task.max_concurrency}, and daemons keep theirs"
        yield Remark(("max_concurrency",), f"{why} ('{forever[0]}' is one)")


def _of_daemons(task: Task) -> Iterator[Remark]:
    """A daemon that the task waits for, beside work that has an end and that the daemon does not come after."""
    daemons = {p.name: n for n, p in enumerate(task.processes) if p.daemon and not p.ephemeral and not p.final}
    if not daemons:
        return
    by_name = {process.name: process for process in task.processes}
    leads_there: set[str] = set()
    left = list(daemons)
    while left:
        name = left.pop()
        if name not in leads_there:
            leads_there.add(name)
            left += (*by_name[name].after, *(condition.process for condition in by_name[name].conditions))
    work = [p.name for p in task.processes if not (p.final or p.ephemeral or p.daemon or p.name in leads_there)]
    if work:
        name, number = next(iter(daemons.items()))
        why = f"the task does not end when '{work[0]}' has: '{name}' is a daemon, and the task waits for it"
        yield Remark(("processes", number, "daemon"), f"{why} unless it is ephemeral too")


def _of(process: Process, task: Task) -> Iterator[tuple[tuple[str | int, ...], str]]:
    name = process.name
    if process.final and process.daemon and not process.ephemeral:
        yield ("daemon",), f"the task's end takes all of finalization_wait: its finalizer '{name}' is a daemon"
    timeout = process.stop.timeout
    if timeout is not None and timeout > task.finalization_wait:
        why = f"'{name}' has less time to stop than this: finalization_wait is {task.finalization_wait:g}s"
        yield ("stop", "timeout"), f"{why}, for all of the task's end"
    for place, rule in enumerate(process.restart):
        if rule.unhealthy and process.health is None:
            yield ("restart", place), f"this rule never applies: '{name}' has no health check that could fail"
        if place and _fits_always(process.restart[place - 1]):
            yield ("restart", place), f"this rule of '{name}' never applies: the one before it fits every end"


def _fits_always(rule: Rule) -> bool:
    return all(said is None for said in (rule.codes, rule.signals, rule.oom, rule.unhealthy, rule.under, rule.over))
