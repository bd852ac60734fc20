"""`thermos unpause`: let a paused task go on."""

from __future__ import annotations

from typing import Any

from thermos.checkpoint import tasks

from .asking import ask_once
from .kind import TASK_ID

HELP = """Let a task go on that was paused; to one that was not it does nothing."""

ARGUMENTS = (TASK_ID,)

OPTIONS = ()


def run(given: dict[str, Any]) -> int:
    ask_once(given["root"], tasks.read_accepted(given["root"], given["task_id"]), {"request": "unpause"})
    return 0
