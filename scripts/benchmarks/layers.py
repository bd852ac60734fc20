"""A graph of 10,000 processes in layers: what a record costs in the core, how soon the task begins, the whole run.

The core is measured in this process, fed as the supervisor feeds it: one fact, and then all that can be decided.
Beside it the standard library's sorter walks the same graph. A node passes it twice, as ready and as done, so half of
what a node takes is what stands beside one record of ours.
"""

from __future__ import annotations

import graphlib
import sys
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

from thermos.core import records as r
from thermos.core.decide import decide
from thermos.core.evolve import evolve
from thermos.core.state import initial
from thermos.core.task import Task

from .commands import run, until
from .core_task import core_task
from .kind import CannotMeasure, Place, Row, Sample, Side
from .programs import ninja, thermos

_LAYERS, _WIDTH = 100, 100

#: How many of the layer before a process comes after.
_BEFORE = 3


def _order(layers: int = _LAYERS) -> dict[str, tuple[str, ...]]:
    """Each name with those it comes after."""
    return {
        f"p{layer}-{place}": tuple(f"p{layer - 1}-{(place + step) % _WIDTH}" for step in range(min(layer, 1) * _BEFORE))
        for layer in range(layers)
        for place in range(_WIDTH)
    }


def _walk(task: Task) -> float:
    """Run a task of processes that all succeed, in the core alone. Returns microseconds per record."""
    state = initial(task)
    facts = deque[r.Record]()
    clock = 1_700_000_000.0
    began = time.perf_counter()
    while not state.ended:
        while (ready := decide(state, clock)).records:
            for record in ready.records:
                evolve(state, record)
                if isinstance(record, r.Launched):
                    number, run = record.process, record.run
                    facts.append(r.Started(at=clock, process=number, run=run, pid=number + 2, ticks=number))
                    facts.append(r.Exited(at=clock, process=number, run=run, source="waited", code=0))
            clock += 0.001
        if facts:
            evolve(state, facts.popleft())
    took = time.perf_counter() - began
    if state.stage != "SUCCESS":
        raise CannotMeasure(f"cannot measure the core: the task ended as {state.stage}")
    return took / state.seq * 1e6


@contextmanager
def _core(place: Place) -> Generator[Sample]:
    task = core_task(_order())
    yield lambda: _walk(task)


def _sort(order: dict[str, tuple[str, ...]]) -> float:
    """Microseconds for one of the two times that a node passes."""
    sorter = graphlib.TopologicalSorter(order)
    sorter.prepare()
    began = time.perf_counter()
    while sorter.is_active():
        for name in sorter.get_ready():
            sorter.done(name)
    return (time.perf_counter() - began) / (2 * len(order)) * 1e6


@contextmanager
def _graphlib(place: Place) -> Generator[Sample]:
    order = _order()
    yield lambda: _sort(order)


@contextmanager
def _first_of_ours(place: Place) -> Generator[Sample]:
    """All other processes wait for the second, which does not end."""
    order = {"first": (), "second": ("first",), **{name: after or ("second",) for name, after in _order().items()}}
    argv = {"first": ["/bin/date", "+%s%N"]}
    processes = [
        {"name": name, "argv": argv.get(name, ["sleep", "infinity"]), "after": after} for name, after in order.items()
    ]

    def sample() -> float:
        began_at = time.time_ns()
        with thermos.started({"name": "bench", "processes": processes}, place) as task:
            said = task.directory / "sandbox" / ".logs" / "first" / "0" / "stdout"
            until("the first process has run", lambda: said.exists() and said.read_text().endswith("\n"))
            return (int(said.read_text()) - began_at) / 1e6

    yield sample


@contextmanager
def _first_of_ninjas(place: Place) -> Generator[Sample]:
    order = _order()
    argv = [*ninja.graph(place.directory, order), next(iter(order))]
    yield lambda: run(argv).took * 1000


def _shared(place: Place) -> dict[str, tuple[str, ...]]:
    return _order(max(int(_LAYERS * place.share), 2))


@contextmanager
def _ours_whole(place: Place) -> Generator[Sample]:
    order = _shared(place)
    processes = [{"name": name, "cmdline": "true", "after": after} for name, after in order.items()]
    task = {"name": "bench", "max_concurrency": ninja.AT_ONCE, "processes": processes}
    file = thermos.write_json(place.directory / "task.json", task)
    yield lambda: thermos.run_task(file, place.directory / "root")[0].took * 1000 / len(order)


@contextmanager
def _ninjas_whole(place: Place) -> Generator[Sample]:
    order = _shared(place)
    argv = ninja.graph(place.directory, order)
    yield lambda: run(argv).took * 1000 / len(order)


ROWS = (
    Row(
        "decide",
        f"decide and evolve, per record of {_LAYERS * _WIDTH} processes in layers",
        "us",
        Side("core", sys.executable, "python3", _core),
        Side("graphlib", sys.executable, "python3", _graphlib),
        most=50,
    ),
    Row(
        "layers-load",
        f"first instruction, JSON task of {_LAYERS * _WIDTH} processes in layers",
        "ms",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _first_of_ours),
        Side(ninja.NAME, ninja.NAME, ninja.PACKAGE, _first_of_ninjas),
        repeat=5,
    ),
    Row(
        "layers",
        f"`true` in layers of {_WIDTH}, {ninja.AT_ONCE} at a time, per process of the whole run",
        "ms",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _ours_whole),
        Side(ninja.NAME, ninja.NAME, ninja.PACKAGE, _ninjas_whole),
        repeat=1,
    ),
)
