"""cpu: a share of processor time per period (CFS bandwidth control), and weights for when it is scarce."""

from __future__ import annotations

import errno

from .kind import Change, Figure, Limit, above, keyed, pressure, refused, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.spec import Limits

    from .kind import Place, Read

PERIOD = 100_000  # microseconds, the kernel's default
SMALLEST = 1_000  # microseconds, the kernel's least quota

#: Version 1.
V1_PERIOD, V1_QUOTA, V1_BURST = "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us"
SHARES = "cpu.shares"
ACCT_USAGE = "cpuacct.usage"
#: Version 2.
MAX, BURST, WEIGHT = "cpu.max", "cpu.max.burst", "cpu.weight"
#: Of both, with different words in it.
STAT, PRESSURE = "cpu.stat", "cpu.pressure"

_REASONS = {
    errno.EINVAL: "the kernel refuses it: a group above has less, a group below has more, or its burst is larger"
}


def shares(weight: int) -> int:
    """A weight of version 2 (1..10000, from birth 100) in version 1's unit (from birth 1024).

    In proportion, as systemd does (src/core/cgroup.c), so that two groups share as they would under version 2.
    """
    return round(weight * 1024 / 100)


def weight(shares: int) -> int:
    """The other way round; exactly what was given to `shares`."""
    return min(max(round(shares * 100 / 1024), 1), 10_000)


def _microseconds(cores: float) -> int:
    return -1 if cores < 0 else max(round(cores * PERIOD), SMALLEST)


def _cores(quota: str, period: str) -> str:
    return "no limit" if quota in ("-1", "max") else f"{int(quota) / int(period):g} cores"


def _asked(cores: float) -> str:
    return "no limit" if cores < 0 else f"{cores:g} cores"


def _changes(
    limits: Limits,
    quota: Callable[[int], list[tuple[str, str]]],
    burst: str,
    shown: Callable[[Read], str],
    most: int = -1,
    passing: bool = False,
) -> list[Change]:
    """`most`: microseconds that a burst cannot be more than, or -1."""
    asked: list[Limit] = []
    writes: list[tuple[str, str]] = []
    if limits.cpu_burst is not None:
        writes.append((burst, "0"))  # it may never be more than the quota, which may become smaller

        def saved(read: Read) -> str:
            return f"{int(read(burst)) / PERIOD:g} cores"

        asked.append(Limit("cpu_burst", f"{max(limits.cpu_burst, 0):g} cores", saved))
    if limits.cpu is not None:
        writes += quota(_microseconds(limits.cpu))
        asked.insert(0, Limit("cpu", _asked(limits.cpu), shown))
    if limits.cpu_burst is not None:
        saves = round(max(limits.cpu_burst, 0) * PERIOD)
        writes.append((burst, str(saves if most < 0 else min(saves, most))))
    return [Change(asked, writes, passing=passing, reasons=_REASONS)] if asked else []


def _unlimited(limits: Limits, shown: str) -> bool:
    """Whether a burst is asked for without what it would go beyond."""
    return (limits.cpu_burst or 0) > 0 and (shown == "no limit" if limits.cpu is None else limits.cpu < 0)


def _refused(limits: Limits) -> list[Change]:
    asked = f"{limits.cpu_burst:g} cores"
    return [refused("cpu_burst", asked, "a burst goes beyond a limit of processor time, and there is none")]


def _above(place: Place) -> int:
    """Microseconds of a period that version 1 leaves to a group: the least that those above it have; -1: any."""
    quotas = zip(map(int, above(place, V1_QUOTA)), map(int, above(place, V1_PERIOD)), strict=False)
    return min((max(quota * PERIOD // period, SMALLEST) for quota, period in quotas if quota >= 0), default=-1)


def _lowered(place: Place, most: int) -> list[tuple[str, str]]:
    """What makes room for a smaller quota than those of the groups below."""
    writes: list[tuple[str, str]] = []
    for name in place.below():
        try:
            quota, period = (int(place.read(f"{name}/{file}")) for file in (V1_QUOTA, V1_PERIOD))
        except OSError:
            continue  # its run has ended meanwhile
        if quota * PERIOD > most * period:
            theirs = max(most * period // PERIOD, SMALLEST)
            try:
                if int(place.read(f"{name}/{V1_BURST}")) > theirs:
                    writes.append((f"{name}/{V1_BURST}", str(theirs)))
            except OSError:
                pass  # a kernel before 5.14
            writes.append((f"{name}/{V1_QUOTA}", str(theirs)))
    return writes


def v1(limits: Limits, place: Place) -> list[Change]:
    """Version 1 takes no quota above that of a group above, or below that of one below. Here it is as in version 2,
    where all of them are taken and the smallest holds: a group gets what there is, and those below are cut down to it.
    """

    def shown(read: Read) -> str:
        return _cores(read(V1_QUOTA), read(V1_PERIOD))

    most = _above(place) if limits.cpu is not None and limits.cpu >= 0 else -1

    def quota(microseconds: int) -> list[tuple[str, str]]:
        own = microseconds if most < 0 else min(microseconds, most)
        lowered = _lowered(place, own) if own >= 0 else []
        return [*lowered, (V1_PERIOD, str(PERIOD)), (V1_QUOTA, str(own))]

    if limits.cpu_burst and _unlimited(limits, shown(place.read)):
        changes = _refused(limits)
    else:
        # Passing: a group below that was removed just now still counts.
        changes = _changes(limits, quota, V1_BURST, shown, most, passing=True)
    if limits.cpu_weight is not None:

        def weighs(read: Read) -> str:
            return str(weight(int(read(SHARES))))

        wish = Limit("cpu_weight", str(limits.cpu_weight), weighs)
        changes.append(Change([wish], [(SHARES, str(shares(limits.cpu_weight)))]))
    return changes


def v2(limits: Limits, place: Place) -> list[Change]:
    def shown(read: Read) -> str:
        quota, period = read(MAX).split()
        return _cores(quota, period)

    def quota(microseconds: int) -> list[tuple[str, str]]:
        return [(MAX, f"{'max' if microseconds < 0 else microseconds} {PERIOD}")]

    if limits.cpu_burst and _unlimited(limits, shown(place.read)):
        changes = _refused(limits)
    else:
        changes = _changes(limits, quota, BURST, shown)
    if limits.cpu_weight is not None:
        wish = Limit("cpu_weight", str(limits.cpu_weight), lambda read: read(WEIGHT))
        changes.append(Change([wish], [(WEIGHT, str(limits.cpu_weight))]))
    return changes


FRESH = {V1_QUOTA: "-1", V1_PERIOD: str(PERIOD), MAX: f"max {PERIOD}"}

FIGURES = (
    Figure("cpu", "cpuacct", ACCT_USAGE, whole),
    Figure("cpu", "unified", STAT, keyed("usage_usec", 1000)),
    Figure("periods", "cpu", STAT, keyed("nr_periods")),
    Figure("periods", "unified", STAT, keyed("nr_periods")),
    Figure("throttled_periods", "cpu", STAT, keyed("nr_throttled")),
    Figure("throttled_periods", "unified", STAT, keyed("nr_throttled")),
    Figure("throttled", "cpu", STAT, keyed("throttled_time")),
    Figure("throttled", "unified", STAT, keyed("throttled_usec", 1000)),
    Figure("cpu_pressure", "unified", PRESSURE, pressure),
)
