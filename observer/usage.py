"""What tasks, runs and the host use, sampled when somebody asks.

The last samples are kept, so that processor time can also be said as cores: how many were busy since the sample before.
"""

from __future__ import annotations

import resource
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

import msgspec
import psutil

from sandbox.disk import records
from sandbox.disk.usage import usage as disk_usage
from sandbox.usage import Group, of_trees
from sandbox.usage import Usage as Sample
from thermos import paths

from .tasks import Observed

_Number = TypeVar("_Number", int, float)

#: Seconds. Over less, cores would be noise: two people looking at once must not see each other's interval.
SHORTEST_INTERVAL = 1.0
#: At most so many files stay open for one group.
_FILES = 8


class Usage(msgspec.Struct, frozen=True):
    """One sample as it is shown. None: not counted on this host, or there is nothing running."""

    cpu: float | None = None  # seconds of processor time so far
    cores: float | None = None  # busy on average since the sample before, at first since the start
    memory: int | None = None  # bytes, page cache included
    memory_peak: int | None = None
    memory_limit: int | None = None
    pids: int | None = None  # processes and threads
    read: int | None = None  # bytes from and to block devices
    written: int | None = None
    disk: int | None = None  # bytes in the sandbox directory, of a task that has a limit of them
    disk_limit: int | None = None
    disk_age: float | None = None  # seconds since they were counted


class TaskUsage(msgspec.Struct, frozen=True):
    """A task's usage and that of its processes which run, by name."""

    task: Usage
    processes: dict[str, Usage]


class Rate:
    """Turns a growing sum of seconds into seconds per second."""

    def __init__(self, since: float, value: float = 0.0) -> None:
        self._older = self._newer = (since, value)

    def at(self, now: float, value: float) -> float | None:
        """The mean since the sample before, or the one before that where it is too fresh. None: no time has passed."""
        if now - self._newer[0] >= SHORTEST_INTERVAL:
            self._older, self._newer = self._newer, (now, value)
        since, before = self._older
        return max(0.0, value - before) / (now - since) if now > since else None


class Host(msgspec.Struct, frozen=True):
    """The machine's totals. Memory and disk in bytes."""

    cores: float | None  # busy
    cores_total: int
    load: tuple[float, float, float]
    memory: int
    memory_total: int
    disk: int  # of the root file system
    disk_total: int
    booted_at: float  # seconds since the epoch


class _Kept:
    """What is remembered of a group or a process tree between samples."""

    def __init__(self, since: float, group: Group | None = None) -> None:
        self.rate = Rate(since)
        self.group = group

    def close(self) -> None:
        if self.group:
            self.group.close()


class Sampler:
    """Samples tasks that have not ended. The cgroup files of what was asked for lately stay open."""

    def __init__(self) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(8, min(files, 1 << 16) // (4 * _FILES))
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()
        self._host = Rate(psutil.boot_time())

    def task(self, task: Observed) -> Usage:
        """The usage of all its processes together, and of the disk space that it has a limit of."""
        if task.accepted is None:
            return Usage()
        if not task.accepted.cgroups:
            return _with_disk(task, _total(self._trees(task).values()))
        return _with_disk(task, self._group(task, "", task.accepted.created_at) or Usage())

    def all_of(self, task: Observed) -> TaskUsage:
        """The task's usage and that of each of its processes."""
        if task.accepted is None:
            return TaskUsage(Usage(), {})
        if not task.accepted.cgroups:
            trees = self._trees(task)
            return TaskUsage(_with_disk(task, _total(trees.values())), trees)
        processes: dict[str, Usage] = {}
        for name, run in task.live_runs():
            if usage := self._group(task, paths.leaf_name(name, run.number), run.started_at or run.launched_at):
                processes[name] = usage
        return TaskUsage(self.task(task), processes)

    def host(self) -> Host:
        """The machine's totals."""
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage("/")
        return Host(
            cores=self._host.at(time.time(), busy),
            cores_total=psutil.cpu_count() or 1,
            load=psutil.getloadavg(),
            memory=memory.total - memory.available,
            memory_total=memory.total,
            disk=disk.used,
            disk_total=disk.total,
            booted_at=psutil.boot_time(),
        )

    def forget(self, task: Observed) -> None:
        """The task is over: close what was kept of it."""
        for key in [key for key in self._kept if key[:2] == (task.root, task.task_id)]:
            self._kept.pop(key).close()

    def _group(self, task: Observed, leaf: str, since: float) -> Usage | None:
        """A sample of a task's group, or of the leaf of one of its runs. None: not made yet, or gone."""
        assert task.accepted is not None
        key = (task.root, task.task_id, leaf)
        kept = self._kept.pop(key, None)
        if kept is None:
            groups = task.accepted.cgroups.items()
            kept = _Kept(since, Group({controller: f"{group}/{leaf}" for controller, group in groups}))
        assert kept.group is not None
        sample = kept.group.sample()
        if sample is None:
            kept.close()
            return None
        self._keep(key, kept)
        return _shown(sample, kept.rate)

    def _trees(self, task: Observed) -> dict[str, Usage]:
        runs = {run.pid: (name, run) for name, run in task.live_runs() if run.pid is not None}
        usages: dict[str, Usage] = {}
        for pid, sample in of_trees({pid: run.ticks for pid, (_, run) in runs.items()}).items():
            name, run = runs[pid]
            key = (task.root, task.task_id, paths.leaf_name(name, run.number))
            kept = self._kept.pop(key, None) or _Kept(run.started_at or run.launched_at)
            self._keep(key, kept)
            usages[name] = _shown(sample, kept.rate)
        return usages

    def _keep(self, key: tuple[str, str, str], kept: _Kept) -> None:
        self._kept[key] = kept  # the newest is last
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)[1].close()


def _with_disk(task: Observed, usage: Usage) -> Usage:
    if task.accepted is None or task.accepted.task.resources.disk is None:
        return usage
    found = records.read(records.place(paths.disks_dir(task.root), task.task_id))
    used = disk_usage(found[1]) if found else None
    if used is None:
        return usage
    return msgspec.structs.replace(usage, disk=used.bytes, disk_limit=used.limit, disk_age=used.age)


def _shown(sample: Sample, rate: Rate) -> Usage:
    return Usage(
        cpu=sample.cpu,
        cores=None if sample.cpu is None else rate.at(time.time(), sample.cpu),
        memory=sample.memory,
        memory_peak=sample.memory_peak,
        memory_limit=sample.memory_limit,
        pids=sample.pids,
        read=sample.read,
        written=sample.written,
    )


def _total(usages: Iterable[Usage]) -> Usage:
    all_of = list(usages)
    return Usage(
        cpu=_sum(usage.cpu for usage in all_of),
        cores=_sum(usage.cores for usage in all_of),
        memory=_sum(usage.memory for usage in all_of),
        pids=_sum(usage.pids for usage in all_of),
    )


def _sum(values: Iterable[_Number | None]) -> _Number | None:
    """None where there is nothing to add up."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
