"""`start`: a process in a sandbox, started by a program of its own, so that nothing of it changes the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starting import STARTER, Start

from sandbox.cgroups import tree


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the process runs: for every user, down from the root of the file system."""
    place = tmp_path / "sandbox"
    place.mkdir()
    for each in (place, *place.parents):
        if each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode | 0o055)
    return place


@pytest.fixture
def start(directory: Path) -> Start:
    def start(argv: list[str], *, through: list[str] | None = None, **asked: Any) -> dict[str, Any]:
        asked = {"directory": str(directory), "argv": argv, "never": str(directory.parent / "never"), **asked}
        done = subprocess.run(
            [*(through or []), *STARTER], input=json.dumps(asked), capture_output=True, text=True, timeout=60
        )
        assert done.stderr == ""
        answer: dict[str, Any] = json.loads(done.stdout)
        log = directory / asked.get("logs", ".logs/p/0")
        answer["out"] = (log / "stdout").read_text() if (log / "stdout").exists() else ""
        answer["err"] = (log / "stderr").read_text() if (log / "stderr").exists() else ""
        return answer

    return start


@pytest.fixture
def group(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A group of the test's own; nothing of it is left afterwards."""
    group = tree.make(f"test-{os.getpid()}-{tmp_path.name}")
    yield group
    tree.remove_tree(group)
    assert [path for path in group.values() if os.path.exists(path)] == []
