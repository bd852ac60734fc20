"""cpuset: the processors and memory nodes that a group may use."""

from __future__ import annotations

import errno

from .kind import Change, Figure, Limit, above, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.spec import Limits

    from .kind import Place, Read

#: Of both versions. EFFECTIVE is version 2's: what is left of it where the group above has less.
CPUS, MEMS = "cpuset.cpus", "cpuset.mems"
EFFECTIVE = ".effective"

_FIELDS = {"cpus": CPUS, "mems": MEMS}
_REASONS = {
    errno.EINVAL: "this host does not have all of them",
    errno.ERANGE: "this host does not have all of them",
    errno.EACCES: "the group above does not have all of them",
    errno.EBUSY: "a group below uses others",
    errno.ENOSPC: "the processes in it would have none",
}


def parse(text: str) -> set[int]:
    """The kernel's lists, such as "0-1,3". Raises ValueError: it is none."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else True)) or (dash and int(last) < int(first)):
            raise ValueError(f"{text!r} is not a list such as 0-1,3")
        found.update(range(int(first), int(last if dash else first) + 1))
    return found


def shown(numbers: Iterable[int]) -> str:
    """The other way round, as short as the kernel has it."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _wishes(limits: Limits) -> list[tuple[str, str, str]]:
    asked = {"cpus": limits.cpus, "mems": limits.mems}
    return [(field, _FIELDS[field], text) for field, text in asked.items() if text is not None]


def v1(limits: Limits, place: Place) -> list[Change]:
    changes: list[Change] = []
    for field, file, text in _wishes(limits):
        try:
            wanted = parse(text or place.read(f"../{file}"))
        except ValueError as error:
            changes.append(refused(field, text, str(error)))
            continue

        def got(read: Read, file: str = file) -> str:
            return read(file)

        wanted = _within(place, file, wanted)
        writes = _in_order(place, file, wanted)
        changes.append(Change([Limit(field, text or "all", got)], writes, reasons=_REASONS))
    return changes


def _within(place: Place, file: str, wanted: set[int]) -> set[int]:
    """Those that the group above has, where it has some of them: so it is in version 2. Those that the host does not
    have, as its uppermost group says, are left in, for the kernel to refuse."""
    theirs = [parse(text) for text in above(place, file)]
    return theirs[0] & wanted or wanted if theirs and wanted <= theirs[-1] else wanted


def _in_order(place: Place, file: str, wanted: set[int]) -> list[tuple[str, str]]:
    """A group of version 1 must at every moment have what those below it have: first more, then them, then less."""
    before = parse(place.read(file))
    writes = [(file, shown(before | wanted))] if wanted | before != before else []
    for name in place.below():
        try:
            theirs = parse(place.read(f"{name}/{file}"))
        except OSError:
            continue  # its run has ended meanwhile
        new = wanted if theirs in (before, set()) else theirs & wanted or wanted
        if new != theirs:
            writes.append((f"{name}/{file}", shown(new)))
    if wanted | before != wanted:
        writes.append((file, shown(wanted)))
    return writes


def v2(limits: Limits, place: Place) -> list[Change]:
    changes: list[Change] = []
    for field, file, text in _wishes(limits):
        try:
            wanted = parse(text)
        except ValueError as error:
            changes.append(refused(field, text, str(error)))
            continue

        def got(read: Read, file: str = file, wanted: set[int] = wanted) -> str:
            """Version 2 takes any wish, and gives what the groups above have, if need be all of it."""
            had = read(file + EFFECTIVE)
            if wanted and not parse(had) <= wanted:
                raise ValueError(f"the group above has only {had}")
            return had

        changes.append(Change([Limit(field, text or "all", got)], [(file, text or "\n")], reasons=_REASONS))
    return changes


FRESH = {CPUS: "", MEMS: ""}

FIGURES: tuple[Figure, ...] = ()
