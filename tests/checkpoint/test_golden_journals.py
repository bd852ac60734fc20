"""Journals that this and earlier versions have written, kept for ever: each is read, and means what it meant.

One directory for each format, and in it one for each task: task.json, journal, and the status that they come to. A file
here is never changed. A new field of a record has a default, so it shows up only in what is written from then on.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from thermos.checkpoint import codec, journal
from thermos.checkpoint.writing import Writer
from thermos.core.evolve import evolve
from thermos.core.records import Compacted, Record
from thermos.core.state import initial
from thermos.core.status import status_of
from thermos.core.task import Accepted

JOURNALS = Path(__file__).parents[1] / "journals"
TASKS = sorted(path.parent for path in JOURNALS.glob("v*/*/journal"))


def accepted(task: Path) -> Accepted:
    return msgspec.json.decode((task / "task.json").read_bytes(), type=Accepted)


@pytest.mark.parametrize("task", TASKS, ids=[f"{task.parent.name}-{task.name}" for task in TASKS])
def test_an_old_journal_means_what_it_meant(task: Path) -> None:
    state = initial(accepted(task).task)
    for record in journal.read(str(task / "journal")):
        evolve(state, record)
    status = json.loads(msgspec.json.encode(status_of(accepted(task), state, False, "/var/lib/root")))
    meant = json.loads((task / "status.json").read_text())
    assert {key: status[key] for key in meant} == meant
    assert state.ended


@pytest.mark.parametrize("task", TASKS, ids=[f"{task.parent.name}-{task.name}" for task in TASKS])
def test_an_old_journal_is_gone_on_with(task: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    shutil.copy(task / "journal", path)
    before = path.read_bytes()
    writer = Writer(str(path))
    assert len(writer.replayed) > 3
    writer.close()
    assert path.read_bytes() == before


def test_there_is_one_of_this_format_that_is_compacted_and_one_that_is_not() -> None:
    first: list[type[Record]] = []
    for task in TASKS:
        if task.parent.name == f"v{codec.VERSION}":
            first.append(type(next(iter(journal.read(str(task / "journal"))))))
    assert Compacted in first
    assert any(kind is not Compacted for kind in first)
