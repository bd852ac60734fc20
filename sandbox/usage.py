"""What a group of processes uses, read from its cgroup or, where it has none, from its process tree. Read-only.

Files stay open between samples: the kernel answers a `pread` on a kept descriptor in a microsecond, and opening the
file anew costs twenty times that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """One sample. None: this host does not count it."""

    cpu: float | None = None  # seconds of processor time, since the group was made
    memory: int | None = None  # bytes held now, page cache included
    memory_peak: int | None = None  # bytes, the most it ever held
    memory_limit: int | None = None  # bytes; None also where there is no limit
    pids: int | None = None  # processes and threads
    read: int | None = None  # bytes read from block devices
    written: int | None = None  # bytes written to them


def _count(text: str) -> int:
    return int(text)


def _nanoseconds(text: str) -> float:
    return int(text) / 1e9


def _limit(text: str) -> int | None:
    """A memory limit; version 1 says "none" by the largest whole page below 2^63, version 2 by `max`."""
    return None if text == "max" or int(text) >= 1 << 62 else int(text)


def _usage_usec(text: str) -> float | None:
    """`cpu.stat` of version 2."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "usage_usec":
            return int(value) / 1e6
    return None


def _blkio(operation: str) -> Callable[[str], int]:
    """`blkio.throttle.io_service_bytes` of version 1: lines of `<major>:<minor> <operation> <bytes>`."""

    def total(text: str) -> int:
        lines = (line.split() for line in text.splitlines())
        return sum(int(line[2]) for line in lines if len(line) == 3 and line[1] == operation)

    return total


def _io_stat(key: str) -> Callable[[str], int]:
    """`io.stat` of version 2: lines of `<major>:<minor> rbytes=<bytes> wbytes=<bytes> ...`."""

    def total(text: str) -> int:
        return sum(int(word[len(key) + 1 :]) for word in text.split() if word.startswith(f"{key}="))

    return total


class Source(NamedTuple):
    """Where one field of Usage is read."""

    field: str
    controller: str  # whose directory; "unified" is version 2
    file: str
    parse: Callable[[str], int | float | None]


#: For each field, best first: the first file that is there is the one read. A resource controller of version 1 comes
#: before the unified hierarchy, which on hybrid hosts has no controllers and still counts processor time.
SOURCES = (
    Source("cpu", "cpuacct", "cpuacct.usage", _nanoseconds),
    Source("cpu", "unified", "cpu.stat", _usage_usec),
    Source("memory", "memory", "memory.usage_in_bytes", _count),
    Source("memory", "unified", "memory.current", _count),
    Source("memory_peak", "memory", "memory.max_usage_in_bytes", _count),
    Source("memory_peak", "unified", "memory.peak", _count),
    Source("memory_limit", "memory", "memory.limit_in_bytes", _limit),
    Source("memory_limit", "unified", "memory.max", _limit),
    Source("pids", "pids", "pids.current", _count),
    Source("pids", "unified", "pids.current", _count),
    Source("read", "blkio", "blkio.throttle.io_service_bytes", _blkio("Read")),
    Source("read", "unified", "io.stat", _io_stat("rbytes")),
    Source("written", "blkio", "blkio.throttle.io_service_bytes", _blkio("Write")),
    Source("written", "unified", "io.stat", _io_stat("wbytes")),
)


class Group:
    """A cgroup, given as {controller: directory}, whose files are kept open until `close`."""

    def __init__(self, directories: Mapping[str, str]) -> None:
        self._files: dict[str, tuple[int, Callable[[str], int | float | None]]] = {}
        for source in SOURCES:
            directory = directories.get(source.controller)
            if directory is None or source.field in self._files:
                continue
            try:
                fd = os.open(f"{directory}/{source.file}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            self._files[source.field] = fd, source.parse

    def sample(self) -> Usage | None:
        """What the group uses now. None where there is no such group, or no more."""
        values: dict[str, int | float | None] = {}
        for field, (fd, parse) in self._files.items():
            try:
                values[field] = parse(_read(fd))
            except (OSError, ValueError):  # ENODEV: the group was removed
                continue
        return Usage(**values) if values else None  # type: ignore[arg-type]  # the table above says which is which

    def close(self) -> None:
        for fd, _ in self._files.values():
            os.close(fd)
        self._files.clear()


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
