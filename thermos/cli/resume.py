"""`thermos resume`: take over a task whose supervisor is gone."""

from __future__ import annotations

from thermos.checkpoint import tasks
from thermos.runtime import takeover

from .errors import tell
from .kind import JSON, Argument, Cannot, Option
from .taking_on import resume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HELP = """Take over a task whose supervisor is gone, and run it to its end; exit status as of run."""

ARGUMENTS = (Argument("task-id", "The task's id, in full.", required=False),)

OPTIONS = (
    Option("all", "Take over every task that has not ended and that nobody supervises.", "flag"),
    Option("detach", "Return once the task is supervised.", "flag"),
    JSON,
)


def run(given: dict[str, Any]) -> int:
    """Does not return where it takes one task over: this process becomes the task's keeper."""
    root, task_id = given["root"], given["task_id"]
    if given["all"] == (task_id is not None):
        raise Cannot("cannot resume: name one task, or say --all", 2)
    if task_id is not None:
        return resume(given, root, task_id)
    status = 0
    for each in tasks.task_ids(root):
        try:
            accepted = tasks.read_accepted(root, each)
            if takeover.over(root, accepted) is None and not tasks.supervised(root, each):
                if not takeover.take_over(root, each):
                    raise takeover.CannotTakeOver(f"cannot take over {each}: its supervisor did not start")
                print(each)
        except Exception as error:
            tell(error, root, each)
            status = 1
    return status
