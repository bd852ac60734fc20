"""`thermos validate`: everything that is wrong with task files, at once."""

from __future__ import annotations

import os
import sys

from thermos.formats import Problem, TaskFileError

from . import asked_file, statuses
from .kind import JSON, Argument, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from thermos.core.task import Task
    from thermos.formats import Loaded

HELP = """Check task files without running anything: every error with its place; 65 where there is one.

What is legal and may yet not be meant is told as a note."""

ARGUMENTS = (Argument("file", "Task files, or - for standard input.", many=True),)

OPTIONS = (*asked_file.OPTIONS, Option("strict", "Take notes for errors.", "flag"), JSON)


class _Checked:
    """What there is to say about one file. `task`: None where it is not valid."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: tuple[Problem, ...] = ()
        self.notes: list[Problem] = []
        self.task: Task | None = None
        self.ports: tuple[str, ...] = ()


def run(given: dict[str, Any]) -> int:
    """0, or 65 where a file is invalid; the others are checked all the same."""
    checked = [_check(file, given) for file in dict.fromkeys(given["file"])]
    valid = [not one.problems and not (given["strict"] and one.notes) for one in checked]
    if given["json"]:
        from .words import print_json

        print_json([_as_json(one, is_valid) for one, is_valid in zip(checked, valid, strict=True)])
    else:
        for one, is_valid in zip(checked, valid, strict=True):
            _tell(one, is_valid)
    return 0 if all(valid) else statuses.INVALID


def _check(file: str, given: dict[str, Any]) -> _Checked:
    import msgspec

    from thermos.core.remarks import remarks
    from thermos.core.task import Task

    checked = _Checked(file)
    try:
        loaded = asked_file.read(file, given)
        read = asked_file.task_of(loaded, given)
        _try_profile(file, loaded, read)
        task = msgspec.convert(read, Task)
    except TaskFileError as error:
        checked.problems = error.problems
        return checked
    checked.task = task
    checked.ports = loaded.ports
    checked.notes = [loaded.about(remark.path, f"note: {remark.message}") for remark in remarks(task)]
    return checked


def _try_profile(file: str, loaded: Loaded, task: dict[str, Any]) -> None:
    """Raises TaskFileError where a profile of system calls cannot be read, or makes no sense."""
    if "seccomp" not in task.get("sandbox", {}):
        return
    from sandbox.privileges import table
    from sandbox.privileges.asked import Privileges
    from sandbox.privileges.kind import Kernel, Refused

    profile = asked_file.profile_of(file, loaded, task)
    if profile is None:
        return
    try:
        table.steps(Privileges(seccomp=profile), Kernel(os.uname().machine, os.uname().release), root_user=False)
    except Refused as refused:
        path = ("sandbox", *refused.field.split("."))
        raise TaskFileError([loaded.about(path, f"cannot use sandbox.{refused.field}: {refused.why}")]) from None


def _tell(checked: _Checked, valid: bool) -> None:
    for problem in (*checked.problems, *checked.notes):
        print(problem, file=sys.stderr)
    if valid and checked.task is not None:
        count = len(checked.task.processes)
        ports = f", ports {', '.join(checked.ports)}" if checked.ports else ""
        print(f"{checked.file}: valid: {checked.task.name}, {count} process{'es' * (count > 1)}{ports}")


def _as_json(checked: _Checked, valid: bool) -> dict[str, object]:
    task = checked.task
    return {
        "file": checked.file,
        "valid": valid,
        "task": task.name if task else None,
        "processes": [process.name for process in task.processes] if task else [],
        "ports": checked.ports,
        "problems": [_problem_as_json(problem) for problem in checked.problems],
        "notes": [_problem_as_json(note) for note in checked.notes],
    }


def _problem_as_json(problem: Problem) -> dict[str, object]:
    """`line` and `column` are null where it is about the file as a whole."""
    return {
        "file": problem.file,
        "line": problem.line or None,
        "column": problem.column or None,
        "path": problem.path,
        "message": problem.message.removeprefix("note: "),
    }
