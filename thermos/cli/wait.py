"""`thermos wait`: block until a task has ended."""

from __future__ import annotations

import sys
from typing import Any

from thermos.checkpoint import follow, tasks
from thermos.config.wording import printable
from thermos.core.state import EXIT_STATUS, State

from .kind import JSON, TASK_ID
from .words import print_json

HELP = """Block until a task has ended; the exit status is its result: 0 SUCCESS, 1 FAILED, 137 LOST, 143 KILLED."""

ARGUMENTS = (TASK_ID,)

OPTIONS = (JSON,)


def run(given: dict[str, Any]) -> int:
    root, task_id = given["root"], given["task_id"]
    state = until_ended(root, task_id)
    if given["json"]:
        print_json(tasks.status(root, task_id))
    else:
        print(f"{task_id}: {state.stage}: {printable(state.reason)}")
    return EXIT_STATUS[state.stage]


def until_ended(root: str, task_id: str) -> State:
    """Block until the task has ended. Says on stderr when there is nobody to end it."""
    warned = False
    for state in follow.states(root, tasks.read_accepted(root, task_id)):
        if state.ended:
            return state
        in_charge = tasks.supervised(root, task_id)
        if not in_charge and not warned:
            print(f"nobody is in charge of {task_id}, still waiting: thermos resume {task_id}", file=sys.stderr)
        warned = not in_charge
    raise AssertionError("the last state has ended")
