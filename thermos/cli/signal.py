"""`thermos signal`: send one signal to a process of a task."""

from __future__ import annotations

import signal
from typing import Any

from thermos.checkpoint import tasks

from . import statuses
from .asking import ask_once
from .kind import TASK_ID, Argument, Cannot

HELP = """Send one signal to the process group of a process that runs.

It is not a stop: what follows is the process's own affair, and an exit is one like any other.
"""

ARGUMENTS = (TASK_ID, Argument("process", "The process's name."), Argument("signal", "TERM, SIGTERM or 15."))

OPTIONS = ()


def run(given: dict[str, Any]) -> int:
    root, task_id, process = given["root"], given["task_id"], given["process"]
    number = signal_number(given["signal"])
    accepted = tasks.read_accepted(root, task_id)
    names = [definition.name for definition in accepted.task.processes]
    if process not in names:
        raise Cannot(f"cannot signal {process!r}: the processes of {task_id} are {', '.join(names)}")
    message: dict[str, object] = {"request": "signal", "process": process, "signal": number}
    ask_once(root, accepted, message, f"signal {process} of {task_id}")
    return 0


def signal_number(text: str) -> int:
    """TERM, SIGTERM, term, 15 or RTMIN+3 as a number. Raises Cannot."""
    name = text.upper().removeprefix("SIG")
    base, plus, more = name.partition("+")
    number = -1
    if name.isascii() and name.isdigit():
        number = int(name)
    elif base == "RTMIN" and plus and more.isascii() and more.isdigit():
        number = signal.SIGRTMIN + int(more)
    elif f"SIG{name}" in signal.Signals.__members__:
        number = signal.Signals[f"SIG{name}"]
    if number not in signal.valid_signals():
        raise Cannot(f"cannot send {text!r}: no such signal", statuses.USAGE)
    return int(number)
