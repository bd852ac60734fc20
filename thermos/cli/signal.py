"""`thermos signal`: send one signal to a process of a task."""

from __future__ import annotations

import signal
from typing import Any

from thermos.checkpoint import tasks
from thermos.runtime import control

from . import statuses
from .asking import ask
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
    try:
        ask(root, accepted, {"request": "signal", "process": process, "signal": number})
    except control.NotSupervised:
        # Not sent again: it may have arrived before the supervisor went away.
        if tasks.supervised(root, task_id):
            raise Cannot(f"cannot signal {process} of {task_id}: its supervisor is just being restarted") from None
        over = tasks.status(root, task_id).ended_at is not None
        why = "the task has ended" if over else f"nobody is in charge: thermos resume {task_id}"
        raise Cannot(f"cannot signal {process} of {task_id}: {why}") from None
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
