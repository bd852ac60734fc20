"""A task file that a command looks at without running it: which task of it, and what its templates stand for.

What is known only when a task runs, its id and its ports, is pretended; every other name that a template needs has
to be bound, as it has to be for `thermos run`.
"""

from __future__ import annotations

import os

from thermos.formats import TaskFileError, load

from . import statuses
from .kind import BIND, INSTANCE, JOB, TASK, Cannot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from thermos.core.task import Task
    from thermos.formats import Loaded

OPTIONS = (BIND, JOB, TASK, INSTANCE)


def read(file: str, given: dict[str, Any]) -> Loaded:
    """Raises TaskFileError, and Cannot where the command line is wrong. `given`: with what OPTIONS name."""
    from thermos.formats.aurora.choice import Choice

    bindings: dict[str, str] = {}
    for text in given["bind"]:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise Cannot(f"cannot read {text!r}: it should be --bind NAME=VALUE", 2)
        bindings[name] = value
    return load(file, bindings, Choice(given["job"], given["task"], given["instance"]))


def understood(given: dict[str, Any], *, as_written: bool = False) -> tuple[Loaded, Task]:
    """The file of a command line, and its task. Raises Cannot. `as_written`: see `task_of`."""
    import msgspec

    from thermos.core.task import Task

    try:
        loaded = read(given["file"], given)
        return loaded, msgspec.convert(task_of(loaded, given, as_written=as_written), Task)
    except TaskFileError as error:
        raise Cannot(str(error), statuses.INVALID) from None


def task_of(loaded: Loaded, given: dict[str, Any], *, as_written: bool = False) -> dict[str, Any]:
    """The complete task, as `thermos.core.task.Task` takes it. Raises TaskFileError.

    `as_written`: what is pretended stands in texts as the template that names it, where the fields allow that.
    """
    values = {
        "thermos.task_id": "task",
        "thermos.user": _own_name(),
        "mesos.instance": str(given["instance"] or 0),
        "mesos.hostname": os.uname().nodename,
        **{f"thermos.ports[{name}]": "1" for name in loaded.ports},
    }
    task = loaded.task(values)
    if task["user"] not in (None, values["thermos.user"]):
        values["thermos.user"] = task["user"]
        task = loaded.task(values)
    if as_written:
        unknown = (name for name in values if name.startswith("thermos.") and name != "thermos.user")
        try:
            return loaded.task(values | {name: f"{{{{&{name}}}}}" for name in unknown})  # which is the text {{name}}
        except TaskFileError:
            pass  # a number is wanted somewhere
    return task


def profile_of(file: str, loaded: Loaded, task: dict[str, Any]) -> Any:
    """The profile of system calls that a task names, where that is a file. Raises TaskFileError."""
    name = task.get("sandbox", {}).get("seccomp", "default")
    if name in ("default", "unconfined"):
        return None
    path = beside(file, name)
    try:
        with open(path, "rb") as profile:
            import json

            return json.load(profile)
    except OSError as error:
        why = f"cannot read {path}: {error.strerror}"
    except ValueError as error:
        why = f"{path} is no JSON: {error}"
    raise TaskFileError([loaded.about(("sandbox", "seccomp"), f"cannot use sandbox.seccomp: {why}")])


def beside(file: str, path: str) -> str:
    """A path that a task file names: relative ones are relative to it, or to where we are if it has none."""
    return os.path.join(os.getcwd() if file == "-" else os.path.dirname(os.path.abspath(file)), path)


def _own_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
