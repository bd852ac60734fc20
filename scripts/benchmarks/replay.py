"""A journal of a million records, read and folded, beside as many rows that SQLite reads and Python counts.

What a supervisor writes for ten daemons that are restarted again and again, frame by frame, without the compaction
that would keep it small. SQLite is what one would keep such records in who had no journal of his own.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from thermos.checkpoint import codec, journal
from thermos.core import records as r
from thermos.core.evolve import evolve
from thermos.core.state import initial

from .core_task import core_task
from .kind import CannotMeasure, Place, Row, Sample, Side

_DAEMONS = 10
_RECORDS = 1_000_000

_BEGUN_AT = 1_700_000_000.25
_COLUMNS = ("seq", "type", "at", "cause", "process", "run", "pid", "ticks", "source", "code", "cpu", "memory")


def _records() -> Iterator[r.Record]:
    """Each is a frame of its own. Less than a run more than _RECORDS of them."""
    yield r.Supervised(at=_BEGUN_AT, boot_id="8529d290-cded-4c4e-8f32-1535084810eb", pid=5258, epoch=_BEGUN_AT - 7e5)
    yield r.StageEntered(at=_BEGUN_AT, stage="ACTIVE", reason="the task was accepted")
    written, cause = 2, dict.fromkeys(range(_DAEMONS), 2)
    while written < _RECORDS:
        process, run = written // 3 % _DAEMONS, written // 3 // _DAEMONS
        at = round(_BEGUN_AT + written * 0.0012345, 6)
        yield r.Launched(at=at, cause=cause[process], process=process, run=run)
        yield r.Started(at=at + 0.0023, process=process, run=run, pid=5300 + run % 9000, ticks=1114835 + written // 8)
        yield r.Exited(
            at=at + 0.0031, process=process, run=run, source="waited", code=0, cpu=0.001837211, memory=1179648
        )
        written += 3
        cause[process] = written


@contextmanager
def _ours(place: Place) -> Generator[Sample]:
    path = place.directory / "journal"
    with path.open("wb") as file:
        file.write(codec.HEADER)
        for number, record in enumerate(_records(), 1):
            file.write(codec.encode(number, (record,)))
    task = core_task({f"daemon-{number}": () for number in range(_DAEMONS)}, daemon=True)

    def sample() -> float:
        began = time.perf_counter()
        state = initial(task)
        for record in journal.read(str(path)):
            state = evolve(state, record)
        took = time.perf_counter() - began
        _check(sum(process.successes for process in state.processes))
        return took

    yield sample


@contextmanager
def _sqlite(place: Place) -> Generator[Sample]:
    path = place.directory / "records.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"create table records ({', '.join(_COLUMNS)}, primary key (seq)) without rowid")
        rows = (
            (number, type(record).__name__, *(getattr(record, column, None) for column in _COLUMNS[2:]))
            for number, record in enumerate(_records(), 1)
        )
        database.executemany(f"insert into records values ({', '.join('?' * len(_COLUMNS))})", rows)
        database.commit()

    def sample() -> float:
        began = time.perf_counter()
        successes = Counter[int]()
        with closing(sqlite3.connect(path)) as database:
            for row in database.execute("select * from records order by seq"):
                if row[1] == "Exited" and row[9] == 0:
                    successes[row[4]] += 1
        took = time.perf_counter() - began
        _check(successes.total())
        return took

    yield sample


def _check(successes: int) -> None:
    if successes < _RECORDS // 3:
        raise CannotMeasure(f"cannot measure a replay: of {_RECORDS // 3} successes it told of {successes}")


ROWS = (
    Row(
        "replay",
        f"a journal of {_RECORDS} records read and folded",
        "s",
        Side("core", sys.executable, "python3", _ours),
        Side("sqlite3", sys.executable, "python3", _sqlite),
        most=2.5,
    ),
)
