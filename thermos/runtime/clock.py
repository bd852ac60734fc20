"""The one reader of the clock.

A task's time is the boot clock plus an offset that is fixed for the boot: it runs through suspend, agrees between
the keeper and every supervisor, and does not move when somebody sets the wall clock. The offset is chosen so that it
is the date, and is kept in the journal.
"""

from __future__ import annotations

import time


def _shift() -> float:
    """How many seconds the boot clock of our time namespace is ahead of the machine's."""
    try:
        with open("/proc/self/timens_offsets", encoding="ascii") as file:
            for line in file:
                name, seconds, nanoseconds = line.split()
                if name == "boottime":
                    return int(seconds) + int(nanoseconds) / 1e9
    except OSError:
        pass  # older than Linux 5.6
    return 0.0


#: Taken off, so that a keeper agrees with one in another time namespace about when a process was started.
SHIFT = _shift()


def since_boot() -> float:
    """Seconds since the machine's boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - SHIFT


def fresh_epoch(not_before: float) -> float:
    """The offset for a boot that has none yet. `not_before`: time never runs backwards over a reboot."""
    return max(time.time(), not_before) - since_boot()
