"""One `true` in a full sandbox, from the start of the program to its end."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from .commands import run
from .kind import Place, Row, Sample, Side
from .programs import bwrap, runc, thermos

_TRUE = ["/bin/true"]


@contextmanager
def _ours(place: Place) -> Generator[Sample]:
    file = thermos.write_json(place.directory / "task.json", thermos.one_process(_TRUE))
    yield lambda: thermos.run_task(file, place.directory / "root")[0].took * 1000


@contextmanager
def _runc(place: Place) -> Generator[Sample]:
    argv = runc.bundle(place.directory, _TRUE)
    yield lambda: run(argv).took * 1000


@contextmanager
def _bwrap(place: Place) -> Generator[Sample]:
    argv = bwrap.command(_TRUE)
    yield lambda: run(argv).took * 1000


_OURS = Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _ours)

ROWS = (
    Row("whole", "one `true`, whole run", "ms", _OURS, Side(runc.NAME, runc.NAME, runc.PACKAGE, _runc)),
    Row("whole-bwrap", "one `true`, whole run", "ms", _OURS, Side(bwrap.NAME, bwrap.NAME, bwrap.PACKAGE, _bwrap)),
)
