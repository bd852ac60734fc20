"""One fixture: `cli`, a root with tasks and the command to look at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from task_directories import Cli


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    made = Cli(tmp_path / "root", capfd)
    yield made
    made.close()
