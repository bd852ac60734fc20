"""`thermos graph`: a task's picture, and its longest chain."""

from __future__ import annotations

import os
import sys
from typing import Any

from thermos.checkpoint import tasks
from thermos.core.task import Task
from thermos.drawing import FORMATS, Paper, Picture, TooLarge, picture_of

from . import asked_file, statuses
from .kind import JSON, Argument, Cannot, Option
from .words import print_json

HELP = """Draw the processes of a task in layers: who waits for whom and for what, and the longest chain.

Durations come from --durations or from a task that has run (--timings); without any each process counts 1."""

ARGUMENTS = (Argument("file", "The task file, or - for standard input."),)

OPTIONS = (
    Option("format", "How it is drawn.", "choice", choices=tuple(FORMATS), default="ascii"),
    Option("output", "Write it there instead of on standard output.", metavar="FILE"),
    Option("durations", "How long a process takes; may be given again.", "repeatable", metavar="NAME=SECONDS"),
    Option("timings", "Take each process's last successful run in this task for its duration.", metavar="TASK_ID"),
    *asked_file.OPTIONS,
    JSON,
)


def run(given: dict[str, Any]) -> int:
    """0. Raises Cannot."""
    _, task = asked_file.understood(given)
    picture = picture_of(task, _durations(given, task))
    if given["json"]:
        print_json(_as_json(given["file"], picture))
        return 0
    drawing = _drawn(picture, given["format"], given["output"])
    if given["output"] is None:
        sys.stdout.write(drawing)
    else:
        try:
            with open(given["output"], "w", encoding="utf-8") as file:
                file.write(drawing)
        except OSError as error:
            raise Cannot(f"cannot write {given['output']}: {error.strerror}") from None
    return 0


def _durations(given: dict[str, Any], task: Task) -> dict[str, float]:
    """Seconds by the names of processes; what the command line says goes before what has been seen."""
    durations = _seen(given["root"], given["timings"]) if given["timings"] is not None else {}
    names = {process.name for process in task.processes}
    for text in given["durations"]:
        name, equals, number = text.rpartition("=")
        if name not in names:
            why = f"there is no process {name!r}" if equals else "it should be NAME=SECONDS"
            raise Cannot(f"cannot use --durations {text}: {why}", statuses.USAGE)
        try:
            durations[name] = float(_SECONDS.value(number))
        except ValueError as error:
            raise Cannot(f"cannot use --durations {text}: {error}", statuses.USAGE) from None
    return {name: seconds for name, seconds in durations.items() if name in names}


_SECONDS = Option("durations", "", "seconds")


def _seen(root: str, task_id: str) -> dict[str, float]:
    """How long the newest successful run of each process took, as far as the journal still knows its runs."""
    try:
        status = tasks.status(root, task_id)
    except tasks.NoSuchTask:
        raise Cannot(f"cannot find task {task_id} under {root}; `thermos status` lists what is there") from None
    seen: dict[str, float] = {}
    for process in status.processes:
        for run in process.runs:  # oldest first
            if run.state == "SUCCESS" and run.started_at is not None and run.ended_at is not None:
                seen[process.name] = max(run.ended_at - run.started_at, 0.0)
    if not seen:
        raise Cannot(f"cannot take timings from {task_id}: no process of it has succeeded")
    return seen


def _drawn(picture: Picture, form: str, output: str | None) -> str:
    try:
        return FORMATS[form](picture, _paper(output))
    except TooLarge as error:
        raise Cannot(f"cannot draw {picture.name} as {form}: {error}; --format dot and mermaid can") from None


def _paper(output: str | None) -> Paper:
    """A terminal has a width, and may know no more than ASCII; so may whatever the locale is for."""
    if output is not None:
        return Paper()
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        columns = None
    try:
        "┌▶│".encode(sys.stdout.encoding)
        plain = _plain_locale()
    except UnicodeEncodeError:
        plain = True
    return Paper(columns, plain)


def _plain_locale() -> bool:
    """Python writes UTF-8 under LC_ALL=C too (PEP 538, 540); who asks for that locale means ASCII all the same."""
    asked = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG")
    return asked in ("C", "POSIX")


def _as_json(file: str, picture: Picture) -> dict[str, object]:
    name = [node.name for node in picture.nodes]
    return {
        "file": file,
        "name": picture.name,
        "unit": "seconds" if picture.timed else "steps",
        "nodes": [
            {
                "name": node.name,
                "plan": "final" if node.final else "regular",
                "layer": node.layer,
                "daemon": node.daemon,
                "ephemeral": node.ephemeral,
                "final": node.final,
                "seconds": node.seconds,
            }
            for node in picture.nodes
        ],
        "edges": [
            {"from": name[edge.before], "to": name[edge.after], "on": edge.on, "pattern": edge.pattern or None}
            for edge in picture.edges
        ],
        "plans": [
            {
                "plan": plan.name,
                "layers": [[name[number] for number in layer] for layer in plan.layers],
                "width": plan.width,
                "critical_path": [name[number] for number in plan.critical],
                "total": plan.total,
            }
            for plan in picture.plans
        ],
        "layers": [[name[number] for number in layer] for plan in picture.plans for layer in plan.layers],
        "critical_path": [name[number] for plan in picture.plans for number in plan.critical],
        "total": picture.total,
    }
