"""What a group of processes uses, read from its cgroup or, where it has none, from its process tree. Read-only.

Files stay open between samples: the kernel answers a `pread` on a kept descriptor in a microsecond, and opening the
file anew costs twenty times that. Which files those are the rows of `cgroups.controllers` say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from .cgroups.figures import sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroups.controllers.kind import Figure


class Pressure(NamedTuple):
    """How much a group waits for one resource: some of its processes, or all of them at once."""

    some: float  # percent of the last 10 s
    some_total: int  # microseconds, since the group was made
    full: float
    full_total: int


@dataclass(frozen=True, slots=True)
class Usage:
    """One sample. None: this host does not count it, or it was not asked for."""

    cpu: float | None = None  # seconds of processor time, since the group was made
    memory: int | None = None  # bytes held now, page cache included
    memory_peak: int | None = None  # bytes, the most it ever held
    memory_limit: int | None = None  # bytes; None also where there is no limit
    pids: int | None = None  # processes and threads
    read: int | None = None  # bytes read from block devices
    written: int | None = None  # bytes written to them
    swap: int | None = None  # bytes
    oom_kills: int | None = None  # version 1: of this very group; version 2: and of those below
    pids_peak: int | None = None
    pids_refused: int | None = None  # forks that failed for the limit
    periods: int | None = None  # of the limit of processor time, since there is one
    throttled_periods: int | None = None  # those in which it was used up
    throttled: float | None = None  # seconds that were waited for the next one
    cpu_pressure: Pressure | None = None
    memory_pressure: Pressure | None = None
    io_pressure: Pressure | None = None


#: What is sampled where nothing else is asked for: a file each, and one less for `read` and `written`.
BASIC = ("cpu", "memory", "memory_peak", "memory_limit", "pids", "read", "written")
#: All there is.
ALL = tuple(Usage.__dataclass_fields__)

_SECONDS = ("cpu", "throttled")  # which the kernel's files count in nanoseconds


class Group:
    """A cgroup, given as {controller: directory}, whose files are kept open until `close`."""

    def __init__(self, directories: Mapping[str, str], fields: Iterable[str] = BASIC) -> None:
        """`fields`: of Usage; for each of them the first of its files that is there is read."""
        self._files: dict[str, int] = {}
        self._figures: dict[str, list[Figure]] = {}
        for field in fields:
            for source in sources(field):
                path = f"{directories[source.tree]}/{source.file}" if source.tree in directories else ""
                if path and (path in self._files or self._open(path)):
                    self._figures.setdefault(path, []).append(source)
                    break

    def _open(self, path: str) -> bool:
        try:
            self._files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        return True

    def sample(self) -> Usage | None:
        """What the group uses now. None where there is no such group, or no more."""
        values: dict[str, int | float | Pressure | None] = {}
        for path, fd in self._files.items():
            try:
                text = _read(fd)
                for figure in self._figures[path]:
                    values[figure.field] = _in_unit(figure.field, figure.parse(text))
            except (OSError, ValueError):  # ENODEV: the group was removed
                continue
        return Usage(**values) if values else None  # type: ignore[arg-type]  # the rows say which is which

    def close(self) -> None:
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()


def _in_unit(field: str, value: int | tuple[float, int, float, int] | None) -> int | float | Pressure | None:
    if isinstance(value, tuple):
        return Pressure(*value)
    return value / 1e9 if field in _SECONDS and value is not None else value


def _read(fd: int) -> str:
    data = os.pread(fd, 1 << 16, 0)
    return data.decode("ascii", "replace").strip()


def of_trees(roots: Mapping[int, int | None]) -> dict[int, Usage]:
    """The usage of process trees, for hosts without cgroups: {pid: start time in ticks} -> {pid: usage}.

    A pid whose start time differs belongs to somebody else now, and is left out. One walk over all processes serves
    every tree. Two flaws cgroups do not have: a process whose parent died is not found, and shared memory is counted
    once for each process that maps it.
    """
    alive = {pid for pid, ticks in roots.items() if ticks is None or start_ticks(pid) == ticks}
    if not alive:
        return {}
    parents: dict[int, int] = {}
    for process in psutil.process_iter():
        try:
            parents[process.pid] = process.ppid()
        except psutil.Error:
            continue
    members: dict[int, list[int]] = {root: [] for root in alive}
    for pid in parents:
        root = _root_of(pid, parents, alive)
        if root is not None:
            members[root].append(pid)
    return {root: _sum(pids) for root, pids in members.items() if pids}


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: field 22 of /proc/PID/stat. None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _root_of(pid: int, parents: Mapping[int, int], roots: set[int]) -> int | None:
    seen: set[int] = set()
    while pid not in roots:
        seen.add(pid)
        pid = parents.get(pid, 0)
        if pid == 0 or pid in seen:
            return None
    return pid


def _sum(pids: list[int]) -> Usage:
    cpu, memory, threads = 0.0, 0, 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                cpu += times.user + times.system + times.children_user + times.children_system
                memory += process.memory_info().rss
                threads += process.num_threads()
        except psutil.Error:
            continue
    return Usage(cpu=cpu, memory=memory, pids=threads)
