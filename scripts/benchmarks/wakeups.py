"""How often those that keep 10 processes, and the observer, wake up while nothing happens."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from .kind import Place, Row, Sample, Side
from .processes import switches
from .programs import supervisord, thermos

_COUNT = 10


def _watch(pids: set[int], secs: float) -> float:
    before = switches(pids)
    time.sleep(secs)
    return switches(pids) - before


@contextmanager
def _ours(place: Place) -> Generator[Sample]:
    def sample() -> float:
        with thermos.running(thermos.sleepers(_COUNT), place) as pids, thermos.observing(place) as observer:
            return _watch(pids | {observer}, place.watch_secs)

    yield sample


@contextmanager
def _supervisord(place: Place) -> Generator[Sample]:
    def sample() -> float:
        with supervisord.running(_COUNT, place) as pids:
            return _watch(pids, place.watch_secs)

    yield sample


ROWS = (
    Row(
        "wake-ups",
        f"context switches beside {_COUNT} idle processes, observer too",
        "",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _ours),
        Side(supervisord.NAME, supervisord.NAME, supervisord.PACKAGE, _supervisord),
        most=0,
        repeat=1,
    ),
)
