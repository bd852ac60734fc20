"""`thermos status`: tasks, their processes and runs."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from thermos.checkpoint import tasks
from thermos.config.wording import printable
from thermos.core.state import ENDED
from thermos.core.status import ExitStatus, ProcessStatus, RunStatus, TaskStatus
from thermos.core.task import Isolation

from .errors import tell
from .kind import JSON, TASK_IDS, Argument
from .words import duration, local_time, print_json

if TYPE_CHECKING:
    from rich.console import Console

HELP = """Show every task, or the processes, runs and isolation of those named."""

ARGUMENTS = (Argument(TASK_IDS.name, TASK_IDS.help, many=True, required=False),)

OPTIONS = (JSON,)

_COLOURS = {
    "ACTIVE": "green",
    "RUNNING": "green",
    "CLEANING": "yellow",
    "FINALIZING": "yellow",
    "FORKED": "yellow",
    "FAILED": "red",
    "LOST": "red",
    "KILLED": "magenta",
}


def run(given: dict[str, Any]) -> int:
    """0, or 1 where a task could not be shown; the others are."""
    root, named = given["root"], given["task_id"]
    found, failed = _find(root, named)
    if given["json"]:
        print_json(found)
    elif named:
        _show_each(found)
    elif found:
        _show_all(found)
    elif not failed:
        print(f"no tasks under {root}", file=sys.stderr)
    return 1 if failed else 0


def _find(root: str, named: Sequence[str]) -> tuple[list[TaskStatus], bool]:
    """What can be shown, and whether something cannot: that is said at once."""
    found: list[TaskStatus] = []
    failed = False
    for task_id in dict.fromkeys(named) or tasks.task_ids(root):
        try:
            found.append(tasks.status(root, task_id))
        except Exception as error:
            if isinstance(error, tasks.NoSuchTask) and not named:
                continue  # it went away while we were looking
            tell(error, root, task_id)
            failed = True
    return found, failed


def _show_all(found: Sequence[TaskStatus]) -> None:
    rows = [
        (task.task_id, _state(task), _since(task), task.user, _progress(task.processes), _reason(task))
        for task in sorted(found, key=lambda task: task.created_at)
    ]
    _print_table(_console(), ("TASK", "STATE", "TOOK", "USER", "PROCESSES", "WHY"), rows)


def _show_each(found: Sequence[TaskStatus]) -> None:
    console = _console()
    for number, task in enumerate(found):
        if number:
            console.print()
        _print_table(console, (), _facts(task))
        console.print()
        rows = [row for process in task.processes for row in _process_rows(process)]
        _print_table(console, ("PROCESS", "STATE", "RUN", "PID", "STARTED", "TOOK", "FAILURES", "HOW IT ENDED"), rows)
        if task.isolation:
            console.print()
            lines, usual = _isolation(task.isolation)
            _print_table(console, ("ISOLATION", "ASKED", "GOT"), lines)
            if usual:
                console.print(f"private: {', '.join(usual)}", soft_wrap=True, markup=False, highlight=False)


def _isolation(lines: Iterable[Isolation]) -> tuple[list[tuple[str, str, str]], list[str]]:
    """A row each, and the names of what is private, as it is without anybody's asking."""
    lines = list(lines)
    usual = [line.what for line in lines if line.asked == line.got == "private"]
    rows = [(i.what, i.asked, i.got or f"not given: {i.why_not or 'unknown'}") for i in lines if i.what not in usual]
    return rows, usual


def _facts(task: TaskStatus) -> list[tuple[str, str]]:
    facts = [
        ("task", task.task_id),
        ("name", task.name),
        ("state", _state(task)),
        ("why", _reason(task)),
        ("created", local_time(task.created_at)),
        ("ended", f"{local_time(task.ended_at)}, after {_since(task)}" if task.ended_at is not None else ""),
        ("user", task.user),
        ("ports", ", ".join(f"{name}={number}" for name, number in task.ports.items())),
        ("sandbox", task.sandbox),
    ]
    return [fact for fact in facts if fact[1]]


def _state(task: TaskStatus) -> str:
    return f"{task.state}, paused" if task.paused else task.state


def _process_rows(process: ProcessStatus) -> Iterable[tuple[str, ...]]:
    """One row per run, newest first; one for a process that has none."""
    failures = str(process.failures) if process.failures else ""
    if not process.runs:
        yield process.name, process.state, "", "", "", "", failures, ""
    for number, run in enumerate(reversed(process.runs)):
        again = _again(process) if number == 0 else ""
        yield (
            process.name if number == 0 else "",
            run.state,
            str(run.run),
            str(run.pid or ""),
            local_time(run.started_at) if run.started_at is not None else "",
            _took(run),
            failures if number == 0 else "",
            (_exit(run.exit) if run.exit else "") + again,
        )


def _took(run: RunStatus) -> str:
    if run.started_at is None:
        return ""
    return duration((time.time() if run.ended_at is None else run.ended_at) - run.started_at)


def _exit(exit: ExitStatus) -> str:
    return exit.cause if exit.source in ("waited", "unknown") else f"{exit.cause} (seen by: {exit.source})"


def _again(process: ProcessStatus) -> str:
    if process.not_before is None:
        return ""
    wait = process.not_before - time.time()
    return f"; again in {duration(wait)}" if wait > 0 else "; runs again"


def _since(task: TaskStatus) -> str:
    return duration((time.time() if task.ended_at is None else task.ended_at) - task.created_at)


def _progress(processes: Sequence[ProcessStatus]) -> str:
    count = Counter(process.state for process in processes)
    return ", ".join(f"{number} {state.lower()}" for state, number in count.items())


def _reason(task: TaskStatus) -> str:
    if task.supervised or task.state in ENDED:
        return task.reason
    return f"nobody is in charge: thermos resume {task.task_id}"


def _console() -> Console:
    from rich.console import Console

    # What is piped somewhere is not wrapped or cut to a terminal's width.
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 1 << 16)


def _print_table(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(heads), header_style="bold")
    for head in heads or ("", ""):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), style=_COLOURS.get(cell, "")) for cell in row))
    console.print(table)
