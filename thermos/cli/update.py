"""`thermos update`: other limits for a task that runs."""

from __future__ import annotations

from typing import Any

from thermos.checkpoint import tasks
from thermos.config.kinds import Shaped
from thermos.config.reading import UNKNOWN, Reading
from thermos.config.scalars import scalar
from thermos.config.schema import WITHIN
from thermos.runtime.limits import field_of

from . import statuses
from .asking import ask_once
from .kind import JSON, TASK_ID, Cannot, Option
from .words import print_json

HELP = """Change limits of a task that runs, or of one process of it; what was not named stays.

Values are written as in a task file; `none` takes a limit away. A limit that this host cannot give stays as it was,
and the exit status is 69.
"""

#: Each limit that can be changed, as the task file has it, and what a value looks like.
LIMITS = {
    "cpu": "CORES",
    "cpu_weight": "1-10000",
    "cpu_burst": "CORES",
    "cpuset": "LIST",
    "ram": "SIZE",
    "ram_low": "SIZE",
    "ram_high": "SIZE",
    "swap": "SIZE",
    "pids": "N",
    "io_weight": "1-10000",
}

ARGUMENTS = (TASK_ID,)

OPTIONS = (
    Option("process", "Change the limits of this process alone, of its run and of those to come.", metavar="NAME"),
    *(
        Option(name.replace("_", "-"), f"resources.{name}, or none.", metavar=metavar)
        for name, metavar in LIMITS.items()
    ),
    JSON,
)


def run(given: dict[str, Any]) -> int:
    limits = {name: _value(name, given[name]) for name in LIMITS if given[name] is not None}
    if not limits:
        raise Cannot(
            f"cannot update {given['task_id']}: no limit is named; say which, as in --ram 1GiB", statuses.USAGE
        )
    message: dict[str, object] = {"request": "update", "limits": limits, "process": given["process"]}
    rows = ask_once(given["root"], tasks.read_accepted(given["root"], given["task_id"]), message)["rows"]
    if given["json"]:
        print_json(rows)
    else:
        for row in rows:
            field = field_of(row["what"]).removeprefix("resources.")
            print(f"{field}: {row['got'] or 'unchanged: ' + row['why_not']}")
    return statuses.UNAVAILABLE if any(row["got"] is None for row in rows) else 0


def _value(name: str, text: str) -> Any:
    """What a word on the command line means, as in a task file; None for no limit. Raises Cannot."""
    if text == "none":
        return None
    option = f"--{name.replace('_', '-')}"
    if not text:
        raise Cannot(f"cannot use {option}: it is empty; none takes the limit away", statuses.USAGE)
    reading = Reading({}, complete=True)
    kind = WITHIN.fields[name].kind
    written = text if isinstance(kind, Shaped) else scalar(text)  # a list of processors may be one number
    value = kind.read(written, (name,), reading)
    if value is UNKNOWN:
        raise Cannot(f"cannot use {option} {text}: {reading.findings[0].why}", statuses.USAGE)
    return value
