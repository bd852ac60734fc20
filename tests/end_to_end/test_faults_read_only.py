"""The root becomes read-only under a running task: nothing is lost, and when it can be written again it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, gone

from thermos.core import records as r

pytestmark = pytest.mark.root


@contextmanager
def read_only(program: Program) -> Iterator[None]:
    """The root, for whoever opens a file there from now on: what is open for writing cannot be taken back.

    It is covered with itself, read-only. (A file system with open files may be made so only by an error of the disk.)
    """
    root = str(program.root)
    subprocess.run(["mount", "--bind", root, root], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def waiting(name: str, then: str = "true", **fields: Any) -> dict[str, Any]:
    return {"name": name, "cmdline": RAN + AWAIT.format(f"go-{name}") + then, **fields}


def test_a_supervisor_that_cannot_write_the_journal_is_tried_again_until_it_can(program: Program) -> None:
    box, said = program.base / "box", program.base / "said"
    task = program.write([waiting("first", "exit 3"), {"name": "last", "cmdline": RAN, "final": True}])
    with said.open("w") as stderr:
        words = ("--task-id", program.id, "--sandbox", str(box), "--isolation", "none")
        run = program.start("run", task, *words, stderr=stderr)
    first = until(program.started, "first did not start").pid
    with read_only(program):
        program.kill(program.supervisor())
        (box / "go-first").touch()
        until(lambda: gone(first), "first did not end")
        until(lambda: "journal: Read-only file system; will try again" in said.read_text(), "it does not say why")
        assert program.status()["state"] == "ACTIVE"
    assert run.wait() == 1
    assert (box / "ran").read_text() == "first 0\nlast 0\n"
    assert program.exits("first") == [(3, None, "waited")]


def test_a_run_whose_logs_cannot_be_made_is_lost_and_tried_again(program: Program) -> None:
    processes = [
        {"name": "first", "cmdline": RAN + "kill -STOP $$"},
        {"name": "second", "cmdline": "true", "after": ["first"]},  # which has its logs before it is wanted
        {"name": "third", "cmdline": RAN, "after": ["second"]},
    ]
    run = program.begin(processes, "--isolation", "none")
    pid = until(program.started, "first did not start").pid
    until(lambda: stopped(pid), "first did not stop")
    with read_only(program):
        os.kill(pid, signal.SIGCONT)
        until(lambda: any(isinstance(record, r.Refused) for record in program.records()), "third could be started")
    assert run.wait() == 0
    *lost, last = program.runs()["third"]
    assert {run["state"] for run in lost} == {"LOST"}
    assert all(run["exit"]["cause"].startswith("cannot open its logs: Read-only file system") for run in lost)
    assert last["state"] == "SUCCESS"
    assert program.ran() == ["first 0", f"third {len(lost)}"]


def test_a_task_under_a_read_only_root_cannot_be_taken_over_and_it_says_why(program: Program) -> None:
    program.begin([waiting("first")], "--isolation", "none")
    until(program.started, "first did not start")
    program.kill(program.keeper(), program.supervisor())
    with read_only(program):
        for words in (["resume", program.id], ["resume", "--all"], ["kill", program.id]):
            done = program.done(*words)
            assert done.returncode not in (0, 70)
            assert done.stderr.startswith(f"cannot take over {program.id}: Read-only file system")
        assert program.status()["processes"][0]["state"] == "RUNNING"
    program.touch("go-first")
    assert program.done("resume", program.id).returncode == 0
