"""Stop a group where it stands, and let it go on: all its processes at once, none of which can see or refuse it.

By the version 2 tree where there is one, also where that has no controllers; else by version 1's freezer, in which
SIGKILL takes effect only after a thaw. There every leaf is frozen by itself as well as the group: so one leaf can be
killed, which thaws it and the group, and the others stay as they are.
"""

from __future__ import annotations

import os

from .kernel import read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FREEZE, EVENTS = "cgroup.freeze", "cgroup.events"
STATE, ABOVE = "freezer.state", "freezer.parent_freezing"


class CannotFreeze(Exception):
    """The group is in no tree that can freeze; the text says why."""


def freeze(group: Mapping[str, str]) -> None:
    """Have a group, and the leaves in it, stop. They have when `frozen` says so: mostly within a millisecond.

    Raises CannotFreeze; OSError: the group is gone, or not ours.
    """
    _set(group, "1", "FROZEN")


def thaw(group: Mapping[str, str]) -> None:
    """Have them go on. No error where they were not frozen. Raises as `freeze` does."""
    _set(group, "0", "THAWED")


def frozen(group: Mapping[str, str]) -> bool:
    """Whether every process of the group and of its leaves has stopped. Raises as `freeze` does."""
    by = _by(group)
    if by == "unified":
        return "frozen 1" in read(f"{group[by]}/{EVENTS}").splitlines()
    return read(f"{group[by]}/{STATE}") == "FROZEN"


def tells(group: Mapping[str, str]) -> str | None:
    """The file that says by EPOLLPRI that `frozen` has changed; None: this host's freezer tells nobody."""
    return f"{group['unified']}/{EVENTS}" if _by(group) == "unified" else None


def _by(group: Mapping[str, str]) -> str:
    if "unified" in group and os.path.exists(f"{group['unified']}/{FREEZE}"):
        return "unified"
    if "freezer" in group:
        return "freezer"
    if "SLURM_JOB_ID" in os.environ:
        raise CannotFreeze(
            "cannot freeze the group: there is no version 2 tree of cgroups, and the version 1 freezer is Slurm's, "
            "which finds the processes of its jobs by it"
        )
    raise CannotFreeze("cannot freeze the group: this host has neither cgroup.freeze nor a freezer for us")


def _set(group: Mapping[str, str], flag: str, state: str) -> None:
    by = _by(group)
    directory = group[by]
    if by == "unified":
        write(f"{directory}/{FREEZE}", flag)
        return
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            write(f"{entry.path}/{STATE}", state)
    write(f"{directory}/{STATE}", state)


def release(directory: str) -> None:
    """Let those of a version 1 directory go on that SIGKILL waits for; any other directory: nothing happens."""
    try:
        if read(f"{directory}/{STATE}") == "THAWED":
            return
        write(f"{directory}/{STATE}", "THAWED")
        if read(f"{directory}/{ABOVE}") == "1":
            write(f"{os.path.dirname(directory)}/{STATE}", "THAWED")
    except OSError:
        pass
