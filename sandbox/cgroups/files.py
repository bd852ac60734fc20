"""The files of a group as attributes: what the kernel holds, to be looked at or set by hand.

    MemoryV1("/sys/fs/cgroup/memory/a").limit == 67108864

cgroupspy's descriptors say how each file is written and read. The groups themselves are not cgroupspy's: its own
classes are for version 1 alone, without pids, and find a group by walking all there are. The names come from the rows
in `controllers`. For people who look, and for tests: a read opens the file anew, and nothing is set in an order that
makes sense or taken back; `limits` and `usage` do that.

Every attribute raises OSError where the kernel does not have the file, and ValueError where it says something new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cgroupspy.contenttypes import DeviceAccess, DeviceThrottle
from cgroupspy.interfaces import BaseFileInterface, CommaDashSetFile, DictFile, FlagFile, IntegerFile, TypedFile

from .controllers import CONTROLLERS, cpu, cpuset, devices, io, memory, pids
from .kernel import read, write


class LimitFile(IntegerFile):
    """A number, or None for no limit: -1 or the largest there is in version 1, `max` in version 2."""

    def __init__(self, filename: str, none: str) -> None:
        super().__init__(filename)
        self.none = none

    def sanitize_get(self, value: str) -> int | None:
        number = None if value == "max" else int(value)
        return None if number is None or number < 0 or number >= 1 << 62 else number

    def sanitize_set(self, value: int | None) -> str:
        return self.none if value is None else str(value)


class CountersFile(DictFile):
    """Lines of a word and a number; also none at all, which DictFile cannot read."""

    def sanitize_get(self, value: str) -> dict[str, int]:
        return super().sanitize_get(value) if value else {}


class QuotaFile(BaseFileInterface):
    """`cpu.max`: microseconds of processor time and of the period; None for no limit."""

    def sanitize_get(self, value: str) -> tuple[int | None, int]:
        quota, period = value.split()
        return None if quota == "max" else int(quota), int(period)

    def sanitize_set(self, value: tuple[int | None, int]) -> str:
        quota, period = value
        return f"{'max' if quota is None else quota} {period}"


class ThrottlesFile(BaseFileInterface):
    """`io.max`: for each disk bytes read and written, reads and writes a second; None for no limit."""

    def sanitize_get(self, value: str) -> dict[str, list[int | None]]:
        return io.io_max(value)

    def sanitize_set(self, value: Mapping[str, list[int | None]]) -> str:
        ((disk, numbers),) = value.items()  # the kernel takes one line at a time
        return io.line(disk, numbers)


class Files:
    """A directory of a group. What a descriptor asks of its owner is to read and to write a file by its name."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def get_property(self, filename: bytes) -> str:
        return read(f"{self.directory}/{filename.decode()}")

    def set_property(self, filename: bytes, value: object) -> None:
        write(f"{self.directory}/{filename.decode()}", str(value))

    @classmethod
    def names(cls) -> list[str]:
        """The attributes that can be read."""
        return [
            name for name, value in vars(cls).items() if isinstance(value, BaseFileInterface) and not value.writeonly
        ]


class CpuV1(Files):
    quota = LimitFile(cpu.V1_QUOTA, "-1")
    period = IntegerFile(cpu.V1_PERIOD)
    burst = IntegerFile(cpu.V1_BURST)
    shares = IntegerFile(cpu.SHARES)
    stat = CountersFile(cpu.STAT, readonly=True)


class CpuacctV1(Files):
    usage = IntegerFile(cpu.ACCT_USAGE)


class CpuV2(Files):
    quota = QuotaFile(cpu.MAX)
    burst = IntegerFile(cpu.BURST)
    weight = IntegerFile(cpu.WEIGHT)
    stat = CountersFile(cpu.STAT, readonly=True)


class MemoryV1(Files):
    limit = LimitFile(memory.V1_LIMIT, "-1")
    memory_and_swap = LimitFile(memory.V1_MEMSW, "-1")
    soft_limit = LimitFile(memory.V1_SOFT, "-1")
    usage = IntegerFile(memory.V1_USAGE, readonly=True)
    peak = IntegerFile(memory.V1_PEAK)
    oom_control = CountersFile(memory.V1_OOM, readonly=True)  # written, it is a flag and not counters
    stat = CountersFile(memory.V1_STAT, readonly=True)


class MemoryV2(Files):
    limit = LimitFile(memory.MAX, "max")
    high = LimitFile(memory.HIGH, "max")
    low = LimitFile(memory.LOW, "max")
    swap_limit = LimitFile(memory.SWAP_MAX, "max")
    swap = IntegerFile(memory.SWAP, readonly=True)
    usage = IntegerFile(memory.CURRENT, readonly=True)
    peak = IntegerFile(memory.PEAK, readonly=True)
    events = CountersFile(memory.EVENTS, readonly=True)
    oom_group = FlagFile(memory.OOM_GROUP)


class Pids(Files):
    limit = LimitFile(pids.MAX, "max")
    current = IntegerFile(pids.CURRENT, readonly=True)
    peak = IntegerFile(pids.PEAK, readonly=True)
    events = CountersFile(pids.EVENTS, readonly=True)


class BlkioV1(Files):
    read_bytes, written_bytes, reads, writes = (TypedFile(name, DeviceThrottle, many=True) for name in io.V1_THROTTLES)
    weight = IntegerFile(io.V1_WEIGHT)


class IoV2(Files):
    limits = ThrottlesFile(io.MAX)


class CpusetV1(Files):
    cpus = CommaDashSetFile(cpuset.CPUS)
    mems = CommaDashSetFile(cpuset.MEMS)


class CpusetV2(Files):
    cpus = CommaDashSetFile(cpuset.CPUS)
    mems = CommaDashSetFile(cpuset.MEMS)
    effective_cpus = CommaDashSetFile(cpuset.CPUS + cpuset.EFFECTIVE, readonly=True)
    effective_mems = CommaDashSetFile(cpuset.MEMS + cpuset.EFFECTIVE, readonly=True)


class DevicesV1(Files):
    allowed = TypedFile(devices.LIST, DeviceAccess, readonly=True, many=True)
    allow = TypedFile(devices.ALLOW, DeviceAccess, writeonly=True)
    deny = TypedFile(devices.DENY, DeviceAccess, writeonly=True)


#: Version 1 by the names of its trees, version 2 by the names of controllers.
V1: dict[str, type[Files]] = {
    "cpu": CpuV1,
    "cpuacct": CpuacctV1,
    "memory": MemoryV1,
    "pids": Pids,
    "blkio": BlkioV1,
    "cpuset": CpusetV1,
    "devices": DevicesV1,
}
V2: dict[str, type[Files]] = {"cpu": CpuV2, "memory": MemoryV2, "pids": Pids, "io": IoV2, "cpuset": CpusetV2}


def of(group: Mapping[str, str]) -> dict[str, Files]:
    """The files of a group by the names of controllers, version 2's (and "cpuacct"): those that limit it."""
    found = {name: V1[each.tree](group[each.tree]) for name, each in CONTROLLERS.items() if each.tree in group}
    if "cpuacct" in group:
        found["cpuacct"] = CpuacctV1(group["cpuacct"])
    if "unified" in group:
        directory = group["unified"]
        enabled = read(f"{directory}/cgroup.controllers").split()
        found |= {name: V2[name](directory) for name in enabled if name in V2}
    return found


def held(group: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """(controller, attribute, value) of every file of a group that this kernel has: to show it, or to compare."""
    for name, files in of(group).items():
        for attribute in files.names():
            try:
                yield name, attribute, getattr(files, attribute)
            except (OSError, ValueError):
                continue
