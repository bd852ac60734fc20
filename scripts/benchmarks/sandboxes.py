"""Two hundred sandboxes up and down again: a host that has seen them is as it was, or there is no figure.

The figure is what one of them takes. Those of the last row have all that the kernel does not take down by itself: a
network of their own, a limit of disk space, a root file system that keeps what is changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .commands import run
from .kind import CannotMeasure, Place, Row, Sample, Side
from .leftovers import Host
from .programs import runc, thermos

_TRUE = ["/bin/true"]
_COUNT = 200
_AT_ONCE = 20


def _count(place: Place) -> int:
    """All of them, but for `--quick`."""
    return min(_COUNT, int(_COUNT * place.share * 20))


def _full(directory: Path) -> dict[str, object]:
    volume = {"host_path": "/usr", "container_path": "/usr", "mode": "RO"}
    task = thermos.one_process(_TRUE)
    return {
        **task,
        "resources": {**thermos.LIMITS, "disk": 32 << 20},
        "sandbox": {"rootfs": str(runc.rootfs(directory)), "network": "private", "volumes": [volume]},
    }


def _each(count: int, at_once: int, start: Callable[[int], object]) -> float:
    """Milliseconds for each of so many."""
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(start, range(count)))
    return (time.perf_counter() - began) * 1000 / count


def _ours(at_once: int, task: Callable[[Path], Mapping[str, object]]) -> Side:
    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        file = thermos.write_json(place.directory / "task.json", task(place.directory))
        word = f"bench-up-{os.getpid()}"
        argv = [thermos.THERMOS, "run", str(file), "--root", str(place.directory / "root"), "--task-id"]
        taken = 0

        def sample() -> float:
            nonlocal taken
            host = Host(place.directory, word)
            first, taken = taken, taken + _count(place)
            took = _each(_count(place), at_once, lambda number: run([*argv, f"{word}-{first + number}"]))
            _nothing_is_left(host)
            return took

        yield sample

    return Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, ready)


def _nothing_is_left(host: Host) -> None:
    left = host.left()
    if left:
        more = f", and {len(left) - 5} more" if len(left) > 5 else ""
        raise CannotMeasure(f"cannot measure thermos: tasks have ended and left behind: {'; '.join(left[:5])}{more}")


def _runc(at_once: int) -> Side:
    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        *words, name = runc.bundle(place.directory, _TRUE)

        def start(number: int) -> object:
            return run([*words, f"{name}-{number}"])

        yield lambda: _each(_count(place), at_once, start)

    return Side(runc.NAME, runc.NAME, runc.PACKAGE, ready)


def _plain(directory: Path) -> Mapping[str, object]:
    return thermos.one_process(_TRUE)


def _row(name: str, what: str, at_once: int, ours: Side, peer: Side | None) -> Row:
    how = "one after another" if at_once == 1 else f"{at_once} at a time"
    return Row(name, f"{_COUNT} {what}, {how}, nothing left: each", "ms", ours, peer, repeat=1)


_EVERYTHING = "sandboxes with network, disk limit and root file system"

ROWS: Sequence[Row] = (
    _row("sandboxes", "sandboxes", 1, _ours(1, _plain), _runc(1)),
    _row("sandboxes-at-once", "sandboxes", _AT_ONCE, _ours(_AT_ONCE, _plain), _runc(_AT_ONCE)),
    _row("sandboxes-everything", _EVERYTHING, _AT_ONCE, _ours(_AT_ONCE, _full), None),
)
