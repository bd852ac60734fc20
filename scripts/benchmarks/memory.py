"""What it takes to keep 100 processes: the proportional size (PSS) of those that keep them, not of the kept."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from .kind import Place, Row, Sample, Side
from .processes import proportional_size
from .programs import supervisord, thermos

_COUNT = 100


@contextmanager
def _ours(place: Place) -> Generator[Sample]:
    def sample() -> float:
        with thermos.running(thermos.sleepers(_COUNT), place) as pids:
            return proportional_size(pids) / 1e6

    yield sample


@contextmanager
def _supervisord(place: Place) -> Generator[Sample]:
    def sample() -> float:
        with supervisord.running(_COUNT, place) as pids:
            return proportional_size(pids) / 1e6

    yield sample


ROWS = (
    Row(
        "memory",
        f"PSS of keeper, supervisor and pause of {_COUNT} processes",
        "MB",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _ours),
        Side(supervisord.NAME, supervisord.NAME, supervisord.PACKAGE, _supervisord),
        most_ratio=1.2,
        repeat=3,
    ),
)
