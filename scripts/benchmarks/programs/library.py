"""The library `sandbox` alone, in a program that is there already, as whoever makes sandboxes is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.commands import DEADLINE
from benchmarks.kind import CannotMeasure, Place, Sample

NAME, PACKAGE = "sandbox", "none: scripts/setup makes .venv"

_PROGRAM = Path(__file__).parent.parent / "library_program.py"
_ROOT = Path(__file__).parent.parent.parent.parent


@contextmanager
def making(place: Place, what: str) -> Generator[Sample]:
    """Milliseconds; `what` as in `library_program`."""
    directory = place.directory / "task" / "sandbox"
    directory.mkdir(parents=True)
    argv = [sys.executable, "-S", "-P", str(_PROGRAM), str(directory), what]
    environment = {"PYTHONPATH": str(_ROOT), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as program:

        def sample() -> float:
            assert program.stdin is not None
            assert program.stdout is not None
            assert program.stderr is not None
            program.stdin.write("\n")
            program.stdin.flush()
            said = program.stdout.readline()
            if not said:
                raise CannotMeasure(f"cannot measure the library: {program.stderr.read().strip()}")
            return float(said)

        try:
            sample()  # what is imported at the first one is there at the next
            yield sample
        finally:
            assert program.stdin is not None
            program.stdin.close()
            try:
                program.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                program.kill()
