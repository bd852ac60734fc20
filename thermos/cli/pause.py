"""`thermos pause`: make everything of a task stand still."""

from __future__ import annotations

from typing import Any

from thermos.checkpoint import tasks

from .asking import ask_once
from .kind import TASK_ID

HELP = """Make all processes of a task stand still, until `thermos unpause`, or until the task is killed.

Nothing new is started meanwhile, no health check is made, and no time to stop runs out. One that is paused stays so.
"""

ARGUMENTS = (TASK_ID,)

OPTIONS = ()


def run(given: dict[str, Any]) -> int:
    ask_once(given["root"], tasks.read_accepted(given["root"], given["task_id"]), {"request": "pause"})
    return 0
