"""The one reader of the clock.

A task's time is the boot clock plus an offset that is fixed for the boot: it runs through suspend, agrees between
the keeper and every supervisor, and does not move when somebody sets the wall clock. The offset is chosen so that it
is the date, and is kept in the journal.
"""

from __future__ import annotations

import time


def since_boot() -> float:
    """Seconds since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def fresh_epoch(not_before: float) -> float:
    """The offset for a boot that has none yet. `not_before`: time never runs backwards over a reboot."""
    return max(time.time(), not_before) - since_boot()
