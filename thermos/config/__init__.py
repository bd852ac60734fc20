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
from .templates import port_variable
from .wording import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .expansion import Expansion
    from .wording import Value

__all__ = ["UNKNOWN", "Finding", "Reading", "check", "needs_expansion", "path_text"]


def check(value: Value, bindings: Mapping[str, str], *, complete: bool, expansion: Expansion | None = None) -> Reading:
    """Read a task from the plain value a file held, or from `expansion`'s, if that was made of it.

    `bindings` are what templates may name. With `complete` a name that is not bound is a finding; without, the
    values that need it are passed over, and `task` is what could be read.
    """
    reading = Reading(bindings, complete=complete, expansion=expansion)
    if expansion is not None:
        value = expansion.value
        expansion.check(reading)
    task = TASK.read(value, (), reading)
    if task is not UNKNOWN:
        check_order(task, reading)
        reading.task = task
    if len(reading.ports) > 1:
        _check_ports(reading)
    return reading


def _check_ports(reading: Reading) -> None:
    variables: dict[str, str] = {}
    for port in reading.ports:
        variable = port_variable(port)
        other = variables.setdefault(variable, port)
        if other != port:
            why = f"the ports {other!r} and {port!r} would both be {variable}: name one of them otherwise"
            reading.refuse((), why, relation=True)


def needs_expansion(value: Value) -> bool:
    """Whether a file says anything that has to be spelled out before it is read."""
    if not isinstance(value, dict):
        return False
    if "include" in value or "defaults" in value or "env_file" in value:
        return True
    processes = value.get("processes")
    return isinstance(processes, list) and any(
        isinstance(process, dict) and ("matrix" in process or "env_file" in process) for process in processes
    )
