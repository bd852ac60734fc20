"""From the start of the program to the first instruction of the first process, in a full sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from .commands import run
from .kind import Place, Row, Sample, Side
from .programs import bwrap, runc, thermos

#: Writes the time, in nanoseconds since the epoch. Small, quick to start, and there on every Debian.
_CLOCK = ["/bin/date", "+%s%N"]

_YAML = """\
name: bench
resources: {{cpu: {cpu}, ram: {ram}, pids: {pids}}}
processes:
  - name: only
    argv: {argv}
"""


def _write_json(directory: Path) -> Path:
    return thermos.write_json(directory / "task.json", thermos.one_process(_CLOCK))


def _write_yaml(directory: Path) -> Path:
    path = directory / "task.yaml"
    path.write_text(_YAML.format(**thermos.LIMITS, argv=json.dumps(_CLOCK)))
    return path


def _ours(write: Callable[[Path], Path]) -> Side:
    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        file = write(place.directory)

        def sample() -> float:
            done, said = thermos.run_task(file, place.directory / "root")
            return (int(said["only"]) - done.began_at) / 1e6

        yield sample

    return Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, ready)


def _sample(argv: list[str]) -> Sample:
    def sample() -> float:
        done = run(argv)
        return (int(done.output) - done.began_at) / 1e6

    return sample


@contextmanager
def _runc(place: Place) -> Generator[Sample]:
    yield _sample(runc.bundle(place.directory, _CLOCK))


@contextmanager
def _bwrap(place: Place) -> Generator[Sample]:
    yield _sample(bwrap.command(_CLOCK))


_RUNC = Side(runc.NAME, runc.NAME, runc.PACKAGE, _runc)
_BWRAP = Side(bwrap.NAME, bwrap.NAME, bwrap.PACKAGE, _bwrap)

ROWS = (
    Row("first-json", "first instruction, JSON task", "ms", _ours(_write_json), _RUNC, most_ratio=2.5),
    Row("first-yaml", "first instruction, YAML task", "ms", _ours(_write_yaml), _RUNC, most_ratio=2.5),
    Row("first-bwrap", "first instruction, JSON task", "ms", _ours(_write_json), _BWRAP),
)
