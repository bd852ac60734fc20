"""From the death of a process to the first instruction of the one that replaces it.

The service is `cat` of a named pipe that never ends. Its open of the pipe, which inotify tells of, is taken for its
first instruction: both sides execute the same file, and one clock, ours, sees the kill and the open.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from inotify_simple import INotify, flags

from .commands import DEADLINE
from .kind import CannotMeasure, Place, Row, Sample, Side
from .processes import with_word
from .programs import runit, thermos

#: Runs a service, settled and older than a second, until the end of the block.
Running = Callable[[Path, Place], AbstractContextManager[object]]


@contextmanager
def _service(directory: Path) -> Generator[tuple[Path, Path]]:
    """A program to execute, and the pipe that it opens first of all."""
    pipe, program = directory / "pipe", directory / "service"
    os.mkfifo(pipe)
    program.write_text(f"#!/bin/cat {pipe}\n")  # executed: cat, and no shell before it
    program.chmod(0o755)
    held = os.open(pipe, os.O_RDWR)  # a pipe without a writer would end, or let nobody open it
    try:
        yield program, pipe
    finally:
        os.close(held)


def _kill_and_wait(pipe: Path) -> float:
    """Milliseconds from the SIGKILL to the next open of the pipe. Raises CannotMeasure."""
    pids = with_word(str(pipe))
    if len(pids) != 1:
        raise CannotMeasure(f"cannot measure: one process should read {pipe}, not {len(pids)}")
    (pid,) = pids
    with INotify() as opened:
        opened.add_watch(str(pipe), flags.OPEN)
        died = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        if not opened.read(timeout=int(DEADLINE * 1000)):
            raise CannotMeasure(f"cannot measure: process {pid} was killed and not replaced in {DEADLINE:g} s")
        return (time.monotonic() - died) * 1000


def _sampling(running: Running) -> Callable[[Place], AbstractContextManager[Sample]]:
    """One kill in each life of a task: it pauses before it replaces the same process a second time."""

    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        with _service(place.directory) as (program, pipe):

            def sample() -> float:
                with running(program, place):
                    return _kill_and_wait(pipe)

            yield sample

    return ready


def _ours(**fields: object) -> Side:
    def running(program: Path, place: Place) -> AbstractContextManager[object]:
        process = {"name": "service", "argv": [str(program)], "min_duration": 0, "max_failures": 0, **fields}
        where = str(program.parent)  # it may lie in a directory that tasks have of their own
        volume = {"host_path": where, "container_path": where, "mode": "RW"}
        return thermos.running({"name": "bench", "processes": [process], "sandbox": {"volumes": [volume]}}, place)

    return Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _sampling(running))


_RUNSV = Side(runit.NAME, runit.NAME, runit.PACKAGE, _sampling(runit.running))

ROWS = (
    Row("replacement", "from a kill to the next run's first instruction", "ms", _ours(), _RUNSV, most_ratio=3),
    Row("replacement-daemon", "the same, of a daemon", "ms", _ours(daemon=True), _RUNSV, most_ratio=3),
)
