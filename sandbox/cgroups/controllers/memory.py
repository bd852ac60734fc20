"""memory: pages of the group, page cache included. Over the limit and nothing to reclaim: the OOM killer."""

from __future__ import annotations

import errno

from .kind import Change, Figure, Limit, keyed, pressure, refused, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.spec import Limits

    from .kind import Place, Read

#: Version 1. MEMSW counts memory and swap together.
V1_LIMIT, V1_USAGE, V1_PEAK = "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes"
V1_SOFT, V1_MEMSW, V1_OOM, V1_STAT = (
    "memory.soft_limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.oom_control",
    "memory.stat",
)
#: Version 2.
MAX, CURRENT, PEAK, LOW, HIGH = "memory.max", "memory.current", "memory.peak", "memory.low", "memory.high"
SWAP_MAX, SWAP, EVENTS, OOM_GROUP = "memory.swap.max", "memory.swap.current", "memory.events", "memory.oom.group"
PRESSURE = "memory.pressure"

#: Where the kernel kills one process and its keeper has to kill the others: version 1.
BY_KEEPER = "the whole group, by its keeper"

_FULL = {errno.EBUSY: "the group holds more than that now, and the kernel cannot reclaim it"}
_NO_SWAP = {errno.ENOENT: "this kernel does not count swap"}


def size(number: int) -> str:
    """Bytes as people write them: the largest binary unit that keeps the number whole, or a rounded one."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if number >= unit:
            return f"{number / unit:.4g} {name}"
    return f"{number} B"


def limit(text: str) -> int | None:
    """A limit as the kernel shows it. Version 1 has no word for "none": it shows the largest number of pages."""
    return None if text == "max" or int(text) >= 1 << 62 else int(text)


def _shown(number: int | None) -> str:
    return "no limit" if number is None or number < 0 else size(number)


def _limit(field: str, asked: int, file: str) -> Limit:
    return Limit(field, _shown(asked), lambda read: _shown(limit(read(file))))


def _swap_of(together: int | None, memory: int | None) -> int | None:
    return None if together is None or memory is None else max(together - memory, 0)


def _oom(limits: Limits) -> str:
    return "the whole group" if limits.oom == "group" else "one process"


def v1(limits: Limits, place: Place) -> list[Change]:
    changes: list[Change] = []
    if limits.memory is not None or limits.swap is not None:
        changes.append(_together(limits, place))
    if limits.memory_low is not None:
        # Version 1 takes from those first that are most above their soft limit; no limit there is no protection.
        changes.append(Change([_limit("memory_low", limits.memory_low, V1_SOFT)], [(V1_SOFT, str(limits.memory_low))]))
    if limits.memory_high is not None:
        why = "version 1 of cgroups cannot slow a group down: it has no memory.high"
        changes.append(refused("memory_high", _shown(limits.memory_high), why))
    if limits.oom is not None:
        got = BY_KEEPER if limits.oom == "group" else _oom(limits)
        changes.append(Change([Limit("oom", _oom(limits), lambda read: got)]))
    return changes


def _together(limits: Limits, place: Place) -> Change:
    """Memory, and memory and swap together, which may never be less."""
    before = limit(place.read(V1_LIMIT))
    asked: list[Limit] = []
    if limits.memory is not None:
        asked.append(_limit("memory", limits.memory, V1_LIMIT))
    memory = before if limits.memory is None else None if limits.memory < 0 else limits.memory
    try:
        together = limit(place.read(V1_MEMSW))
    except OSError:  # a kernel started with swapaccount=0
        if limits.swap is not None:
            asked.append(Limit("swap", _shown(limits.swap), lambda read: ""))
            return Change(asked, why="this kernel does not count swap")
        return Change(asked, [(V1_LIMIT, str(limits.memory))], reasons=_FULL)
    swap = _swap_of(together, before) if limits.swap is None else None if limits.swap < 0 else limits.swap
    if limits.swap is not None:

        def swapped(read: Read) -> str:
            return _shown(_swap_of(limit(read(V1_MEMSW)), limit(read(V1_LIMIT))))

        asked.append(Limit("swap", _shown(limits.swap), swapped))
        if memory is None and swap is not None:
            why = "version 1 of cgroups limits swap only together with memory, which has no limit"
            return Change(asked, why=why)
    both = -1 if memory is None or swap is None else memory + swap
    writes = [(V1_LIMIT, str(-1 if memory is None else memory))] if limits.memory is not None else []
    if both < 0 and together is None:
        return Change(asked, writes, reasons=_FULL)
    grows = both < 0 or (together is not None and both > together)
    writes.insert(0 if grows else len(writes), (V1_MEMSW, str(both)))
    return Change(asked, writes, reasons=_FULL)


def v2(limits: Limits, place: Place) -> list[Change]:
    """A limit below what the group holds: the kernel reclaims what it can, and where that is not enough kills."""
    changes: list[Change] = []
    for field, file, asked in (
        ("memory", MAX, limits.memory),
        ("swap", SWAP_MAX, limits.swap),
        ("memory_high", HIGH, limits.memory_high),
    ):
        if asked is not None:
            text = "max" if asked < 0 else str(asked)
            changes.append(Change([_limit(field, asked, file)], [(file, text)], reasons=_NO_SWAP))
    if limits.memory_low is not None:
        low = str(max(limits.memory_low, 0))  # which is none
        changes.append(Change([_limit("memory_low", limits.memory_low, LOW)], [(LOW, low)]))
    if limits.oom is not None:

        def dies(read: Read) -> str:
            return "the whole group" if read(OOM_GROUP) == "1" else "one process"

        group = Limit("oom", _oom(limits), dies)
        changes.append(Change([group], [(OOM_GROUP, "1" if limits.oom == "group" else "0")]))
    return changes


FRESH = {V1_LIMIT: "max", V1_MEMSW: "max"}

FIGURES = (
    Figure("memory", "memory", V1_USAGE, whole),
    Figure("memory", "unified", CURRENT, whole),
    Figure("memory_peak", "memory", V1_PEAK, whole),
    Figure("memory_peak", "unified", PEAK, whole),
    Figure("memory_limit", "memory", V1_LIMIT, limit),
    Figure("memory_limit", "unified", MAX, limit),
    Figure("swap", "memory", V1_STAT, keyed("total_swap")),
    Figure("swap", "unified", SWAP, whole),
    Figure("oom_kills", "memory", V1_OOM, keyed("oom_kill")),
    Figure("oom_kills", "unified", EVENTS, keyed("oom_kill")),
    Figure("memory_pressure", "unified", PRESSURE, pressure),
)
