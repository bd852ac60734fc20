"""Run a program from its start to its end, with a clock beside it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .kind import CannotMeasure

#: Seconds; far more than anything here takes.
DEADLINE = 120.0


@dataclass(frozen=True)
class Ran:
    """`began_at`: nanoseconds since the epoch, just before the program was started. `took`: seconds to its end."""

    began_at: int
    took: float
    output: str


def run(argv: Sequence[str]) -> Ran:
    """Raises CannotMeasure where the exit status is not 0."""
    began_at, began = time.time_ns(), time.perf_counter()
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"cannot measure {argv[0]}: not over after {DEADLINE:g} s: {' '.join(argv)}") from None
    took = time.perf_counter() - began
    if done.returncode:
        raise CannotMeasure(f"cannot measure {argv[0]}: exit status {done.returncode}: {done.stderr.strip()}")
    return Ran(began_at, took, done.stdout)


def until(what: str, done: Callable[[], bool], secs: float = DEADLINE) -> None:
    """Look again and again until something is so. Raises CannotMeasure after that many seconds."""
    deadline = time.monotonic() + secs
    while not done():
        if time.monotonic() > deadline:
            raise CannotMeasure(f"cannot measure: still waiting after {secs:g} s until {what}")
        time.sleep(0.05)
