"""io: bytes and operations a second from and to each disk, and weights where its scheduler knows them."""

from __future__ import annotations

from .kind import Change, Figure, Limit, pressure, refused
from .memory import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.spec import IoLimit, Limits

    from .kind import Place, Read

#: Version 1: a file for each of read and written bytes, then operations.
V1_THROTTLES = (
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
)
V1_WEIGHT = "blkio.bfq.weight"
V1_BYTES, V1_BYTES_BELOW = "blkio.throttle.io_service_bytes", "blkio.throttle.io_service_bytes_recursive"
#: Version 2.
MAX, WEIGHT, STAT, PRESSURE = "io.max", "io.bfq.weight", "io.stat", "io.pressure"

_KEYS = ("rbps", "wbps", "riops", "wiops")
_NONE: list[int | None] = [None] * 4
_UINT_MAX = (1 << 32) - 1  # which is no limit, of operations
_WORDS = ("reads {}/s", "writes {}/s", "{} reads/s", "{} writes/s")


def bfq_weight(weight: int) -> int:
    """A weight of 1..10000 in the unit of the bfq scheduler, 1..1000; both are 100 from birth, so 100 stays what it is.

    What is above is squeezed in proportion, as systemd does (src/basic/cgroup-util.h, BFQ_WEIGHT).
    """
    return weight if weight <= 100 else 100 + round((weight - 100) * 900 / 9900)


def _numbers(limit: IoLimit) -> list[int | None]:
    return [None if number is None or number < 0 else number for number in limit[1:]]


def _said(disk: str, numbers: list[int | None]) -> str:
    words = [
        words.format(size(number) if words[0] != "{" else number)
        for words, number in zip(_WORDS, numbers, strict=True)
        if number is not None
    ]
    return f"{disk}: {', '.join(words) or 'no limit'}"


def throttles(text: str) -> dict[str, int]:
    """A throttle file of version 1: lines of `<major>:<minor> <number>`."""
    return {words[0]: int(words[1]) for line in text.splitlines() if len(words := line.split()) == 2}


def io_max(text: str) -> dict[str, list[int | None]]:
    """`io.max`: lines of `<major>:<minor> rbps=<number or max> ...`, in the order of an IoLimit."""
    found: dict[str, list[int | None]] = {}
    for line in text.splitlines():
        disk, *words = line.split()
        values = dict(word.split("=") for word in words)
        numbers = [values.get(key, "max") for key in _KEYS]
        found[disk] = [None if number == "max" else int(number) for number in numbers]
    return found


def _io(
    limits: Limits,
    place: Place,
    writes: Callable[[str, list[int | None]], list[tuple[str, str]]],
    held: Callable[[Read, str], list[int | None]],
    undo: Callable[[str, str, str], tuple[str, str]],
    disks: Callable[[Read], Iterable[str]],
) -> list[Change]:
    changes: list[Change] = []
    if limits.io is not None and not limits.io:

        def left(read: Read) -> str:
            return "; ".join(_said(disk, held(read, disk)) for disk in disks(read)) or "no limit"

        lifted = [write for disk in disks(place.read) for write in writes(disk, _NONE)]
        changes.append(Change([Limit("io", "no limit", left)], lifted, undo=undo))
    for each in limits.io or ():
        asked = _said(each[0], _numbers(each))
        try:
            disk = place.disk(each[0])
        except ValueError as error:
            changes.append(refused("io", asked, str(error)))
            continue

        def got(read: Read, name: str = each[0], disk: str = disk) -> str:
            return _said(name, held(read, disk))

        changes.append(Change([Limit("io", asked, got)], writes(disk, _numbers(each)), undo=undo))
    return changes


def _weight(limits: Limits, place: Place, file: str) -> list[Change]:
    if limits.io_weight is None:
        return []
    asked = str(limits.io_weight)
    if "bfq" not in place.schedulers():
        why = "no disk of this host has the scheduler that knows weights: bfq, in /sys/block/DISK/queue/scheduler"
        return [refused("io_weight", asked, why)]

    def got(read: Read) -> str:
        # "default 100" where single disks may have others.
        return f"{read(file).split()[-1]} of 1000 on disks with the bfq scheduler"

    return [Change([Limit("io_weight", asked, got)], [(file, str(bfq_weight(limits.io_weight)))])]


def v1(limits: Limits, place: Place) -> list[Change]:
    def writes(disk: str, numbers: list[int | None]) -> list[tuple[str, str]]:
        bytes, operations = [number or 0 for number in numbers[:2]], [number or 0 for number in numbers[2:]]
        operations = [min(number, _UINT_MAX) for number in operations]  # the kernel keeps the lower 32 bits
        return [(file, f"{disk} {number}") for file, number in zip(V1_THROTTLES, [*bytes, *operations], strict=True)]

    def held(read: Read, disk: str) -> list[int | None]:
        return [throttles(read(file)).get(disk) for file in V1_THROTTLES]

    def undo(file: str, text: str, before: str) -> tuple[str, str]:
        disk = text.split()[0]
        return file, f"{disk} {throttles(before).get(disk, 0)}"

    def disks(read: Read) -> list[str]:
        return sorted({disk for file in V1_THROTTLES for disk in throttles(read(file))})

    return _io(limits, place, writes, held, undo, disks) + _weight(limits, place, V1_WEIGHT)


def line(disk: str, numbers: list[int | None]) -> str:
    """A line of `io.max`, as it is written."""
    words = (f"{key}={'max' if number is None else number}" for key, number in zip(_KEYS, numbers, strict=True))
    return f"{disk} {' '.join(words)}"


def v2(limits: Limits, place: Place) -> list[Change]:
    def writes(disk: str, numbers: list[int | None]) -> list[tuple[str, str]]:
        return [(MAX, line(disk, numbers))]

    def held(read: Read, disk: str) -> list[int | None]:
        return io_max(read(MAX)).get(disk, _NONE)

    def undo(file: str, text: str, before: str) -> tuple[str, str]:
        disk = text.split()[0]
        return file, line(disk, io_max(before).get(disk, _NONE))

    def disks(read: Read) -> Iterable[str]:
        return io_max(read(MAX))

    return _io(limits, place, writes, held, undo, disks) + _weight(limits, place, WEIGHT)


def _blkio(operation: str) -> Callable[[str], int]:
    """Version 1: lines of `<major>:<minor> <operation> <bytes>`, and a total."""

    def total(text: str) -> int:
        lines = (line.split() for line in text.splitlines())
        return sum(int(line[2]) for line in lines if len(line) == 3 and line[1] == operation)

    return total


def _io_stat(key: str) -> Callable[[str], int]:
    """Version 2: lines of `<major>:<minor> rbytes=<bytes> wbytes=<bytes> ...`."""

    def total(text: str) -> int:
        return sum(int(word[len(key) + 1 :]) for word in text.split() if word.startswith(f"{key}="))

    return total


FRESH: dict[str, str] = {}

FIGURES = (
    # With the groups below it, which is where the processes are; kernels before 5.6 have only the other.
    Figure("read", "blkio", V1_BYTES_BELOW, _blkio("Read")),
    Figure("read", "blkio", V1_BYTES, _blkio("Read")),
    Figure("read", "unified", STAT, _io_stat("rbytes")),
    Figure("written", "blkio", V1_BYTES_BELOW, _blkio("Write")),
    Figure("written", "blkio", V1_BYTES, _blkio("Write")),
    Figure("written", "unified", STAT, _io_stat("wbytes")),
    Figure("io_pressure", "unified", PRESSURE, pressure),
)
