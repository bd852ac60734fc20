"""The disk with the root directory is full before, during or after a run: nothing is lost, and it goes on with room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from host_mounts import mounts
from real_program import AWAIT, RAN, Program, leftovers
from small_disk import fill, mounted

from thermos.core import records as r

pytestmark = pytest.mark.root


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Program]:
    """The program with a root directory on a file system of 2 MiB."""
    before = mounts(tmp_path)
    program = Program(tmp_path)
    program.root.mkdir()
    with mounted(program.root, "2m"):
        yield program
        program.end_all()
        program.records()
    leftovers(program, before)


def waiting(name: str, then: str = "true", **fields: Any) -> dict[str, Any]:
    """A process that stays until an (empty) file appears, and writes nothing."""
    return {"name": name, "cmdline": AWAIT.format(name) + then, **fields}


def running(program: Program, process: int) -> bool:
    return program.started(process) is not None


def pressed(program: Program) -> list[str]:
    return [record.why for record in program.records() if isinstance(record, r.DiskPressure)]


def test_a_task_is_not_accepted_on_a_full_disk_and_leaves_nothing_there(cramped: Program) -> None:
    ballast = fill(cramped.root)
    done = cramped.done("run", cramped.write([{"name": "only", "cmdline": RAN}]), "--task-id", cramped.id)
    assert done.returncode == 73
    assert done.stderr.startswith("cannot create the task in")
    assert "No space left on device" in done.stderr
    assert not cramped.directory.exists()
    ballast.unlink()
    assert cramped.begin([{"name": "only", "cmdline": RAN}]).wait() == 0


def test_nothing_new_starts_on_a_full_disk_and_what_runs_is_followed_to_its_end(cramped: Program) -> None:
    run = cramped.begin(
        [
            waiting("first", "exit 3", ephemeral=True),
            waiting("second"),
            {"name": "third", "cmdline": RAN, "after": ["second"]},
        ]
    )
    until(lambda: running(cramped, 0) and running(cramped, 1))
    ballast = fill(cramped.root)
    cramped.touch("first")
    until(lambda: pressed(cramped), "it does not say that the disk is full")
    cramped.touch("second")
    until(lambda: cramped.exits("second")[0][0] is not None, "the end of second is not known")
    assert cramped.status()["reason"] == pressed(cramped)[0]
    assert cramped.exits("first") == [(3, None, "waited")]
    assert cramped.started(2) is None
    ballast.unlink()
    assert run.wait() == 0
    assert cramped.ran() == ["third 0"]
    assert [bool(why) for why in pressed(cramped)] == [True, False]
    assert run.stderr is not None
    assert "cannot start anything new" in run.stderr.read()


def test_a_supervisor_that_starts_on_a_full_disk_is_in_charge(cramped: Program) -> None:
    run = cramped.begin([waiting("first"), {"name": "second", "cmdline": RAN, "after": ["first"]}])
    until(lambda: running(cramped, 0))
    ballast = fill(cramped.root)
    cramped.kill(cramped.supervisor())
    until(lambda: sum(isinstance(record, r.Supervised) for record in cramped.records()) == 2)
    cramped.touch("first")
    until(lambda: pressed(cramped))
    ballast.unlink()
    assert run.wait() == 0
    assert cramped.ran() == ["second 0"]


def test_a_task_on_a_full_disk_can_be_killed(cramped: Program) -> None:
    run = cramped.begin([waiting("first")])
    until(lambda: running(cramped, 0))
    ballast = fill(cramped.root)
    assert cramped.done("kill", cramped.id).returncode == 0
    assert run.wait() == 143
    ballast.unlink()


def test_a_full_disk_after_the_end_changes_nothing(cramped: Program) -> None:
    assert cramped.begin([{"name": "only", "cmdline": RAN + "exit 4"}]).wait() == 1
    ballast = fill(cramped.root)
    assert cramped.done("wait", cramped.id).returncode == 1
    assert cramped.exits("only") == [(4, None, "waited")]
    ballast.unlink()
