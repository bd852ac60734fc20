"""A thousand `true` processes that wait for nothing but a free slot: the whole run.

With as many at a time as ninja takes by itself, processors and two more; and, for information, all of them at once.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from .commands import run
from .kind import Place, Row, Sample, Side
from .programs import ninja, thermos

_COUNT = 1000
_NAMES = [f"one-{number}" for number in range(_COUNT)]


def _ours(at_once: int) -> Side:
    task = {
        "name": "bench",
        "max_concurrency": at_once,
        "processes": [{"name": name, "cmdline": "true"} for name in _NAMES],
    }

    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        file = thermos.write_json(place.directory / "task.json", task)
        yield lambda: thermos.run_task(file, place.directory / "root")[0].took * 1000

    return Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, ready)


def _ninja(at_once: int) -> Side:
    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        argv = ninja.graph(place.directory, dict.fromkeys(_NAMES, ()), at_once)
        yield lambda: run(argv).took * 1000

    return Side(ninja.NAME, ninja.NAME, ninja.PACKAGE, ready)


ROWS = (
    Row(
        "many",
        f"{_COUNT} independent `true`, {ninja.AT_ONCE} at a time, whole run",
        "ms",
        _ours(ninja.AT_ONCE),
        _ninja(ninja.AT_ONCE),
        most_ratio=4,
        repeat=5,
    ),
    Row(
        "many-at-once",
        f"{_COUNT} independent `true`, all at a time, whole run",
        "ms",
        _ours(0),
        _ninja(_COUNT),
        repeat=3,
    ),
)
