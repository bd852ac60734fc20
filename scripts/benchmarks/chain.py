"""A chain of 100 `true` processes, each after the one before: what a step costs, and all of it.

A step of ours makes two directories and two log files, ninja's makes none: so there is a row with the root in memory
too, that shows what of a step is the disk's.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .commands import run
from .kind import Place, Row, Sample, Side
from .programs import ninja, thermos

_LENGTH = 100


def _task(length: int) -> dict[str, object]:
    names = [f"step-{number}" for number in range(length)]
    return {
        "name": "bench",
        "processes": [{"name": name, "cmdline": "true"} for name in names],
        "constraints": [{"order": names}] if length > 1 else [],
    }


@contextmanager
def _ours_whole(place: Place) -> Generator[Sample]:
    file = thermos.write_json(place.directory / "long.json", _task(_LENGTH))
    yield lambda: thermos.run_task(file, place.directory / "root")[0].took * 1000


@contextmanager
def _ours_step(place: Place) -> Generator[Sample]:
    short = thermos.write_json(place.directory / "short.json", _task(1))
    with _ours_whole(place) as long:
        yield lambda: (long() - thermos.run_task(short, place.directory / "root")[0].took * 1000) / (_LENGTH - 1)


@contextmanager
def _ours_step_in_memory(place: Place) -> Generator[Sample]:
    with (
        tempfile.TemporaryDirectory(prefix="thermos-bench-", dir="/dev/shm") as memory,
        _ours_step(dataclasses.replace(place, directory=Path(memory))) as step,
    ):
        yield step


@contextmanager
def _ninja_whole(place: Place) -> Generator[Sample]:
    argv = ninja.chain(place.directory, _LENGTH)
    yield lambda: run(argv).took * 1000


@contextmanager
def _ninja_step(place: Place) -> Generator[Sample]:
    short = ninja.chain(place.directory, 1)
    with _ninja_whole(place) as long:
        yield lambda: (long() - run(short).took * 1000) / (_LENGTH - 1)


ROWS = (
    Row(
        "chain-step",
        f"one of a chain of {_LENGTH} `true`",
        "ms",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _ours_step),
        Side(ninja.NAME, ninja.NAME, ninja.PACKAGE, _ninja_step),
        most_ratio=1.5,
    ),
    Row(
        "chain-memory",
        f"one of a chain of {_LENGTH} `true`, root on a tmpfs",
        "ms",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _ours_step_in_memory),
        Side(ninja.NAME, ninja.NAME, ninja.PACKAGE, _ninja_step),
    ),
    Row(
        "chain",
        f"a chain of {_LENGTH} `true`, whole run",
        "ms",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _ours_whole),
        Side(ninja.NAME, ninja.NAME, ninja.PACKAGE, _ninja_whole),
    ),
)
