"""What the kernel counted of a group: the table of its files, and the few that are read when a run ends."""

from __future__ import annotations

import os

from .controllers import CONTROLLERS, cpu, memory
from .kernel import read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .controllers.kind import Figure


def sources(field: str) -> Iterator[Figure]:
    """Where a field of `sandbox.usage.Usage` is found, best first.

    A resource controller of version 1 comes before the unified tree, which on hybrid hosts has no controllers and
    still counts processor time.
    """
    return (figure for each in CONTROLLERS.values() for figure in each.row().FIGURES if figure.field == field)


_CPU = [figure for figure in cpu.FIGURES if figure.field == "cpu"]
_OOM_KILLS = [figure for figure in memory.FIGURES if figure.field == "oom_kills"]
_MEMORY_PEAK = [figure for figure in memory.FIGURES if figure.field == "memory_peak"]


def figures(group: Mapping[str, str], leaf: str = "") -> tuple[int, int, int]:
    """Of a group or a leaf in it: OOM kills, processor time in ns, most memory in bytes.

    What is not known is -1, and 0 OOM kills. Version 1 counts the OOM kills of this very group, version 2 those of the
    groups below too.
    """
    below = f"/{leaf}" if leaf else ""
    return max(_first(_OOM_KILLS, group, below), 0), _first(_CPU, group, below), _first(_MEMORY_PEAK, group, below)


def _first(sources: list[Figure], group: Mapping[str, str], below: str) -> int:
    for source in sources:
        if source.tree in group:
            try:
                value = source.parse(read(f"{group[source.tree]}{below}/{source.file}"))
            except (OSError, ValueError):
                continue
            if isinstance(value, int):
                return value
    return -1


def kills_whole_groups(group: Mapping[str, str]) -> bool:
    """Whether the kernel itself kills all of a group that has `oom="group"`: version 2. Else its keeper has to."""
    return "memory" not in group and "unified" in group


def watch_oom(group: Mapping[str, str]) -> tuple[int, bool]:
    """A descriptor that tells of lacks of memory in a group or above it, and whether it tells by EPOLLPRI.

    Version 1: an eventfd, readable before the victim is dead; version 2: `memory.events`, which says so by EPOLLPRI
    and is armed by a read. What `figures` counts afterwards is the fact, this only says when to look. The caller
    closes it. Raises OSError.
    """
    if not kills_whole_groups(group):
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            _register(group["memory"], event)
        except (OSError, KeyError) as error:
            os.close(event)
            raise error if isinstance(error, OSError) else FileNotFoundError(2, "no memory controller") from error
        return event, False
    fd = os.open(f"{group['unified']}/{memory.EVENTS}", os.O_RDONLY | os.O_CLOEXEC)
    os.pread(fd, 1 << 12, 0)
    return fd, True


def _register(directory: str, event: int) -> None:
    oom = os.open(f"{directory}/{memory.V1_OOM}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        write(f"{directory}/cgroup.event_control", f"{event} {oom}")
    finally:
        os.close(oom)
