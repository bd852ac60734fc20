"""runsv (runit): keeps one service running, in C. No sandbox, no journal."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.commands import DEADLINE, until
from benchmarks.kind import Place
from benchmarks.processes import children, settle

NAME, PACKAGE = "runsv", "runit"


@contextmanager
def running(program: Path, place: Place) -> Generator[int]:
    """runsv with the service running, until the end of the block. Gives its pid.

    The service is older than a second then: one that ended earlier would be replaced a second later.
    """
    service = place.directory / "runsv"
    service.mkdir()
    (service / "run").symlink_to(program)
    with subprocess.Popen([NAME, str(service)], stdin=subprocess.DEVNULL) as runsv:
        try:
            until("runsv has started the service", lambda: bool(children(runsv.pid)))
            settle(lambda: {runsv.pid, *children(runsv.pid)})
            yield runsv.pid
        finally:
            runsv.terminate()  # it ends its service first
            runsv.wait(DEADLINE)
    shutil.rmtree(service)
