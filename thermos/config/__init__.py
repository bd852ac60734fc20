"""The task language: what a task file may say, what it means when silent, and what is wrong with it.

Pure: no clock, file, process or socket. `check` takes the plain value a file held and gives a `Reading`: the
complete task, or every finding at once, each with the path of the value it is about. Where that value stands in
the file is for `thermos.formats` to say.

`thermos run` comes through here before it can start anything, so these modules import nothing that the
interpreter does not load anyway (`typing` alone would cost more than reading a small task).
"""

from __future__ import annotations

from .order import check_order
from .reading import UNKNOWN, Finding, Reading
from .schema import TASK
from .wording import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .wording import Value

__all__ = ["UNKNOWN", "Finding", "Reading", "check", "path_text"]


def check(value: Value, bindings: Mapping[str, str], *, complete: bool) -> Reading:
    """Read a task from the plain value a file held.

    `bindings` are what templates may name. With `complete` a name that is not bound is a finding; without, the
    values that need it are passed over, and `task` is what could be read.
    """
    reading = Reading(bindings, complete=complete)
    task = TASK.read(value, (), reading)
    if task is not UNKNOWN:
        check_order(task, reading)
        reading.task = task
    return reading
