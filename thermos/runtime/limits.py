"""What a task, a process or a run may use, as limits of its groups; and what came of it: asked versus got."""

from __future__ import annotations

import os

from sandbox.cgroups import tree
from sandbox.cgroups.controllers import needed
from sandbox.spec import Limits
from thermos import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Row = dict[str, Any]

#: Fields of `thermos.core.task.Resources` that are limits of groups, and what the sandbox calls them.
FIELDS = {
    "cpu": "cpu",
    "cpu_weight": "cpu_weight",
    "cpu_burst": "cpu_burst",
    "cpuset": "cpus",
    "ram": "memory",
    "ram_low": "memory_low",
    "ram_high": "memory_high",
    "swap": "swap",
    "pids": "pids",
    "io": "io",
    "io_weight": "io_weight",
}
_OURS = {theirs: ours for ours, theirs in FIELDS.items()}


def row(what: str, asked: str, got: str | None, why_not: str = "") -> Row:
    """A line of asked versus got, as `thermos.core.task.Isolation` has it."""
    return {"what": what, "asked": asked, "got": got, "why_not": why_not if got is None else None}


def field_of(what: str) -> str:
    """Where a task file asks for what a row is about."""
    kind, _, process = what.partition(" of ")
    field = f"resources.{_OURS.get(kind, kind)}"
    return f"{field} of {process}" if process else field


def of(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Resources as `Limits` has them, those that are said: None for a limit means that there is none any more."""
    limits: dict[str, Any] = {}
    for name, theirs in FIELDS.items():
        if name in resources:
            value = resources[name]
            limits[theirs] = _NONE.get(theirs, -1) if value is None else _devices(value) if name == "io" else value
    return limits


#: How `Limits` says that there is no limit any more, where it is not -1: a weight is then what it was from birth.
_NONE: dict[str, Any] = {"cpus": "", "io": (), "cpu_weight": 100, "io_weight": 100}


def _devices(io: Iterable[Any]) -> tuple[tuple[Any, ...], ...]:
    """As they are in a file, or as structs."""
    return tuple(
        tuple(each.get(name) if hasattr(each, "get") else getattr(each, name) for name in _IO)  # a mapping, or a struct
        for each in io
    )


_IO = ("path", "read", "write", "read_iops", "write_iops")


def said(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Of a task file's resources those that say something."""
    return {name: value for name, value in resources.items() if value is not None and value != ()}


def isolate(
    name: str, mode: str, resources: Mapping[str, Any], processes: Iterable[Mapping[str, Any]] = ()
) -> tuple[dict[str, str], list[Row]]:
    """The task's group, of that name, with its limits set, and asked versus got, of its processes too."""
    group: dict[str, str] = {}
    reason = "isolation is none"
    wanted = of(said(resources))
    if resources.get("oom") == "task":
        wanted["oom"] = "group"
    processes = list(processes)
    if mode != "none":
        every = [wanted, *(of(said(process.get("resources") or {})) for process in processes)]
        try:
            group = tree.make(name, needed(*(Limits(**each) for each in every)))
            reason = ""
        except (tree.CannotLimit, OSError) as error:
            reason = str(error)
    rows = _rows(group, wanted, "", reason)
    if resources.get("oom") == "run" and processes:
        rows += _of_a_leaf(group, {"oom": "group"}, processes[0]["name"], "", reason)
    if mode != "none":
        rows.append(row("processes", "a cgroup each", "a cgroup each" if group else None, reason))
    for process in processes:
        if process.get("resources"):
            own = of(said(process["resources"]))
            rows += _of_a_leaf(group, own, process["name"], f" of {process['name']}", reason)
    return group, rows


def change(group: Mapping[str, str], resources: Mapping[str, Any], process: str = "", run: int = -1) -> list[Row]:
    """Other limits for a group that may hold processes: the task's, or a process's, which has a run or none."""
    wanted = of(resources)
    if not process:
        return _rows(group, wanted, "", "")
    leaf = paths.leaf_name(process, run)
    if run < 0 or not all(map(os.path.isdir, tree.directories(group, leaf))):  # it has ended meanwhile
        return _of_a_leaf(group, wanted, process, f" of {process}", "")
    return _rows(tree.leaf_group(group, leaf), wanted, f" of {process}", "")


#: The least and the most that each limit may be; beyond, the kernel says less clearly that it will not.
_RANGES = {
    "cpu": (1e-3, 1e6),
    "cpu_burst": (0, 1e6),
    "cpu_weight": (1, 10_000),
    "io_weight": (1, 10_000),
    "ram": (1, 1 << 62),
    "ram_low": (0, 1 << 62),
    "ram_high": (1, 1 << 62),
    "swap": (0, 1 << 62),
    "pids": (1, 1 << 22),
}

#: The largest number of a processor that the kernel can be built for, 8192, has so many digits (Kconfig, NR_CPUS).
_PROCESSORS = 4


def wrong(resources: Mapping[str, Any]) -> str:
    """Why limits that somebody asks for, of the types that they have to be, make no sense; else nothing."""
    for name, value in resources.items():
        if value is None:
            continue
        if name in _RANGES:
            least, most = _RANGES[name]
            if not least <= value <= most:
                return f"{name} is from {least:g} to {most:g}, not {value}"
        if name == "cpuset":
            ends = [end for part in value.split(",") for end in part.split("-", 1)]
            if not all(end.isascii() and end.isdigit() and len(end) <= _PROCESSORS for end in ends):
                return f"cpuset is a list such as 0-1,3, not {value!r}"
        if name == "io":
            rates = [rate for each in _devices(value) for rate in each[1:] if rate is not None]
            if not all(1 <= rate <= 1 << 62 for rate in rates):
                return "a rate of io is at least 1 a second"
            if any(rate is not None and rate >= 1 << 31 for each in _devices(value) for rate in each[3:]):
                return f"reads and writes a second are at most {(1 << 31) - 1}"
    return ""


def _rows(group: Mapping[str, str], wanted: dict[str, Any], of: str, reason: str) -> list[Row]:
    return [row(what + of, asked, got, reason or why) for what, asked, got, why in tree.limit(group, Limits(**wanted))]


def _of_a_leaf(group: Mapping[str, str], wanted: dict[str, Any], process: str, of: str, reason: str) -> list[Row]:
    """What the limits of a run would come to, tried with a group that is made for it."""
    if not group:
        return _rows({}, wanted, of, reason)
    leaf = paths.leaf_name(process, 0)
    try:
        tree.make_leaf(group, leaf)
        return _rows(tree.leaf_group(group, leaf), wanted, of, reason)
    except OSError as error:
        return _rows({}, wanted, of, f"cannot make a group in {error.filename}: {error.strerror}")
    finally:
        tree.remove(tree.directories(group, leaf))
