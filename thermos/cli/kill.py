"""`thermos kill`: end tasks gracefully, then by force."""

from __future__ import annotations

import time
from typing import Any

from thermos.checkpoint import follow, tasks
from thermos.core.evolve import evolve
from thermos.core.state import initial
from thermos.runtime import control

from . import statuses
from .asking import A_MOMENT, PATIENCE, ask
from .errors import tell
from .kind import JSON, TASK_IDS, Cannot, Option
from .wait import until_ended
from .words import print_json

HELP = """End tasks: stop signals, finalizers, then SIGKILL; return when they have ended.

A task that nobody is in charge of is taken over first. Interrupting this command does not take the kill back.
"""

ARGUMENTS = (TASK_IDS,)

OPTIONS = (
    Option(
        "wait",
        "Time for stopping and finalizers, then SIGKILL (default: the task's finalization_wait).",
        "seconds",
        metavar="SECONDS",
    ),
    Option("now", "SIGKILL at once; no finalizers.", "flag"),
    Option("no-wait", "Return when the kill is on record; do not wait for the end.", "flag"),
    JSON,
)


def run(given: dict[str, Any]) -> int:
    """0, or 1 where a task could not be killed; the others are. All are asked before one is waited for."""
    root = given["root"]
    message: dict[str, object] = {"request": "kill", "wait": given["wait"], "force": given["now"]}
    wanted = list(dict.fromkeys(given["task_id"]))
    done: list[str] = []
    for task_id in wanted:
        try:
            request_kill(root, task_id, message)
            done.append(task_id)
        except Exception as error:
            tell(error, root, task_id)
    if not given["no_wait"]:
        for task_id in done:
            until_ended(root, task_id)
    found = [tasks.status(root, task_id) for task_id in done]
    if given["json"]:
        print_json(found)
    else:
        for task in found:
            print(f"{task.task_id}: {task.state}")
    return 0 if done == wanted else statuses.FAILED


def request_kill(root: str, task_id: str, message: dict[str, object]) -> None:
    """Return when the task has ended or the kill is on record. Takes the task over where nobody is in charge.

    A second kill request means "at once", so none is sent twice: where a supervisor dies before it answers, the
    journal tells whether it had written the request down. Raises Cannot, and what reading a task raises.
    """
    accepted = tasks.read_accepted(root, task_id)
    state = initial(accepted.task)
    kills: int | None = None
    deadline = time.monotonic() + PATIENCE
    with follow.Follower(root, task_id) as follower:
        while True:
            for record in follower.new():
                evolve(state, record)
            if state.ended or (kills is not None and state.kills > kills):
                return
            kills = state.kills
            try:
                ask(root, accepted, message)
                return
            except control.NotSupervised:
                if time.monotonic() > deadline:
                    raise Cannot(f"cannot kill {task_id}: its supervisor does not listen") from None
            if tasks.supervised(root, task_id):
                follower.wait(A_MOMENT)  # it is being restarted
            else:
                from thermos.runtime import takeover  # seldom needed, and it brings much

                try:
                    started = takeover.take_over(root, task_id)
                except takeover.CannotTakeOver as error:
                    raise Cannot(str(error)) from None
                if not started:
                    raise Cannot(f"cannot take over {task_id}: its supervisor did not start")
