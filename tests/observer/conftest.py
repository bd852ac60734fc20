"""Observers that are started for a test, and ended after it."""

from __future__ import annotations

import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_observer import PATIENCE, Running, Start


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts observers and ends them."""
    running: list[subprocess.Popen[str]] = []

    def begin(*roots: object, listen: str = "127.0.0.1:0") -> Running:
        options = [f"--root={root}" for root in roots]
        command = [sys.executable, "-m", "observer.server", f"--listen={listen}", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        assert ready, "the observer did not say its address"
        said = process.stdout.readline()
        found = re.search(r"(http|unix):\S+$", said)
        assert found, said + (process.stderr.read() if process.stderr else "")
        return Running(process, said, found[0])

    yield begin
    for process in running:
        process.terminate()
    for process in running:
        process.communicate(timeout=PATIENCE)


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")
