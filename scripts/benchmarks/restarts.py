"""A process that ends at once and is restarted again and again: neither journal nor memory may grow with that.

All restarts take some ten minutes, so they are for `--full`.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .commands import DEADLINE, until
from .kind import Place, Row, Sample, Side
from .processes import anonymous
from .programs import thermos

_TASK = {
    "name": "bench",
    "processes": [{"name": "again", "argv": ["true"], "daemon": True, "min_duration": 0}],
}

_RESTARTS = 100_000

#: The part of all restarts after which memory is looked at first: what is allocated once is allocated by then.
_EARLY = 0.2

#: Seconds that a restart may take on a busy machine; it takes 5 ms.
_SLOWEST = 0.1


def _newest_run(journal: Path) -> int:
    """As the end of a journal tells; 0 where it does not."""
    if not journal.exists():
        return 0
    with journal.open("rb") as file:
        file.seek(max(journal.stat().st_size - 4096, 0))
        return max(map(int, re.findall(rb'"run":(\d+)', file.read())), default=0)


def _restart(task: thermos.Started, count: int) -> int:
    """Wait until a task has restarted its process so often. Returns the most bytes its journal had meanwhile."""
    journal = task.directory / "journal"
    largest = 0

    def enough() -> bool:
        nonlocal largest
        newest = _newest_run(journal)
        largest = max(largest, journal.stat().st_size if newest else 0)
        return newest >= count

    until(f"a process was restarted {count} times", enough, DEADLINE + count * _SLOWEST)
    return largest


@contextmanager
def _journal(place: Place) -> Generator[Sample]:
    def sample() -> float:
        with thermos.started(_TASK, place) as task:
            return _restart(task, int(_RESTARTS * place.share)) / 1e6

    yield sample


@contextmanager
def _memory(place: Place) -> Generator[Sample]:
    def sample() -> float:
        with thermos.started(_TASK, place) as task:
            _restart(task, int(_RESTARTS * place.share * _EARLY))
            early = anonymous(task.ours)
            _restart(task, int(_RESTARTS * place.share))
            return (anonymous(task.ours) - early) / 1e6

    yield sample


ROWS = (
    Row(
        "restarts-journal",
        "journal of a process restarted many times, at its largest",
        "MB",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _journal),
        None,
        most=4,
        repeat=1,
    ),
    Row(
        "restarts-memory",
        "what keeper, supervisor and pause grow by meanwhile",
        "MB",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _memory),
        None,
        most=0.5,
        repeat=1,
    ),
)
