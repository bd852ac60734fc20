"""One fixture: `program`, the real program under a root of its own, and proof that nothing of it is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_mounts import mounts
from real_program import Program, leftovers


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    before = mounts(tmp_path)
    program = Program(tmp_path)
    yield program
    program.end_all()
    leftovers(program, before)


@pytest.fixture
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program as a plain user would have it. Needs root, to become that user."""
    base = tmp_path_factory.mktemp("nobody")
    for directory in (base, *base.parents):  # pytest's own are for their owner alone
        if directory.stat().st_uid == os.geteuid() and not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o011)
    before = mounts(base)
    program = Program(base, uid=65534)
    yield program
    program.end_all()
    leftovers(program, before)
