"""`thermos run`: one task, from its file to its end."""

from __future__ import annotations

import gc

from .kind import BIND, INSTANCE, JOB, JSON, TASK, Argument, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HELP = """Run one task to its end; the exit status is the task's result: 0 SUCCESS, 1 FAILED, 137 LOST, 143 KILLED."""

ARGUMENTS = (Argument("file", "The task: .yaml, .yml, .toml, .json, .aurora or .thermos, or - for standard input."),)

OPTIONS = (
    Option(
        "task-id", "The task's id (default: made from its name and the time); one that exists is resumed.", metavar="ID"
    ),
    Option("sandbox", "Where its processes run (default: in the task's directory).", metavar="DIR"),
    JOB,
    TASK,
    INSTANCE,
    BIND,
    Option(
        "port",
        "Use this port (default: a free one is chosen); may be given again.",
        "repeatable",
        metavar="NAME=NUMBER",
    ),
    Option("user", "Who the processes run as (default: the task's user, else you).", metavar="NAME"),
    Option(
        "isolation",
        "Where this host cannot give what the task asks for: refuse it, run and show it, or run plain processes.",
        "choice",
        choices=("strict", "best-effort", "none"),
        default="strict",
    ),
    Option("detach", "Return once the task is durable and supervised; print its id.", "flag"),
    Option("preserve-env", "Let the processes inherit this environment.", "flag"),
    JSON,
)


def run(given: dict[str, Any]) -> int:
    """Does not return where it takes the task on: this process becomes the task's keeper."""
    from thermos.runtime.start import start_supervisor

    # It starts on another processor while this one imports the rest and reads the file. A detached one must not
    # hold our output open; it is started later.
    supervisor = (-1, 0) if given["detach"] else start_supervisor()

    gc.disable()  # what is left behind here is gone with execve

    from . import taking_on

    return taking_on.run(given, supervisor)
