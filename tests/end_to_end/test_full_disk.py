"""The disk with the root directory is full before, during or after a run: nothing is lost, and it goes on with room."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, leftovers, mounts

from thermos.core import records as r

pytestmark = pytest.mark.root


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Program]:
    """The program with a root directory on a file system of 2 MiB."""
    before = mounts()
    program = Program(tmp_path)
    program.root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(program.root)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.strip()}")
    yield program
    program.end_all()
    program.records()
    subprocess.run(["umount", str(program.root)], check=True)
    leftovers(program, before)


def ballast(program: Program) -> Path:
    return program.root / "ballast"


def fill(program: Program) -> None:
    """Use up all the space that is left."""
    with ballast(program).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(program.root).f_bfree == 0


def waiting(name: str, then: str = "true", **fields: Any) -> dict[str, Any]:
    """A process that stays until an (empty) file appears, and writes nothing."""
    return {"name": name, "cmdline": AWAIT.format(name) + then, **fields}


def running(program: Program, process: int) -> bool:
    return program.started(process) is not None


def pressed(program: Program) -> list[str]:
    return [record.why for record in program.records() if isinstance(record, r.DiskPressure)]


def test_a_task_is_not_accepted_on_a_full_disk_and_leaves_nothing_there(cramped: Program) -> None:
    fill(cramped)
    done = cramped.done("run", cramped.write([{"name": "only", "cmdline": RAN}]), "--task-id", cramped.id)
    assert done.returncode == 73
    assert done.stderr.startswith("cannot create the task in")
    assert "No space left on device" in done.stderr
    assert not cramped.directory.exists()
    ballast(cramped).unlink()
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
    fill(cramped)
    cramped.touch("first")
    until(lambda: pressed(cramped), "it does not say that the disk is full")
    cramped.touch("second")
    until(lambda: cramped.exits("second")[0][0] is not None, "the end of second is not known")
    assert "journal" in cramped.status()["reason"]
    assert cramped.exits("first") == [(3, None, "waited")]
    assert cramped.started(2) is None
    ballast(cramped).unlink()
    assert run.wait() == 0
    assert cramped.ran() == ["third 0"]
    assert [bool(why) for why in pressed(cramped)] == [True, False]
    assert run.stderr is not None
    assert "cannot start anything new" in run.stderr.read()


def test_a_supervisor_that_starts_on_a_full_disk_is_in_charge(cramped: Program) -> None:
    run = cramped.begin([waiting("first"), {"name": "second", "cmdline": RAN, "after": ["first"]}])
    until(lambda: running(cramped, 0))
    fill(cramped)
    cramped.kill(cramped.supervisor())
    until(lambda: sum(isinstance(record, r.Supervised) for record in cramped.records()) == 2)
    cramped.touch("first")
    until(lambda: pressed(cramped))
    ballast(cramped).unlink()
    assert run.wait() == 0
    assert cramped.ran() == ["second 0"]


def test_a_task_on_a_full_disk_can_be_killed(cramped: Program) -> None:
    run = cramped.begin([waiting("first")])
    until(lambda: running(cramped, 0))
    fill(cramped)
    assert cramped.done("kill", cramped.id).returncode == 0
    assert run.wait() == 143
    ballast(cramped).unlink()


def test_a_full_disk_after_the_end_changes_nothing(cramped: Program) -> None:
    assert cramped.begin([{"name": "only", "cmdline": RAN + "exit 4"}]).wait() == 1
    fill(cramped)
    assert cramped.done("wait", cramped.id).returncode == 1
    assert cramped.exits("only") == [(4, None, "waited")]
    ballast(cramped).unlink()
