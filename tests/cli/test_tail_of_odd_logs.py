"""`thermos tail` of tasks that did something to their log directories: the others' logs are shown all the same."""

from __future__ import annotations

import os
import shutil

import pytest
from task_directories import DEADLINE, Cli, process


def test_a_log_that_is_a_link_hides_no_others(cli: Cli) -> None:
    task = cli.task("hello-1", "evil", "moved", "good")
    task.activate()
    for number in range(3):
        task.start(number)
        task.log(number, 0, "stderr", b"text %d\n" % number)
    path = task.log(0, 0, "stdout", b"")
    path.unlink()
    path.symlink_to("/etc/passwd")
    moved = task.log(1, 0, "stdout", b"").parent.parent
    shutil.rmtree(moved)
    moved.symlink_to("/root")
    status, out, err = cli.run("tail", task.id)
    assert out == "evil/0 stderr| text 0\ngood/0 stderr| text 2\n"
    assert status == 1
    assert [line.rsplit(": ")[0] for line in err.splitlines()] == [
        f"cannot read {path}",
        *(f"cannot read {moved}/0/{stream}" for stream in ("stdout", "stderr")),
    ]


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_following_goes_on_beside_it_and_says_it_once(cli: Cli, kind: str) -> None:
    task = cli.task("hello-1", process("evil", daemon=True), "good")
    task.take_charge()
    task.activate()
    task.start(0)
    task.start(1)
    path = task.log(0, 0, "stdout", b"")
    path.unlink()
    if kind == "link":
        path.symlink_to("/etc/passwd")
    else:
        os.mkfifo(path)
    task.log(1, 0, "stdout", b"one\n")
    tail = cli.start("tail", "-f", task.id)
    assert tail.stdout
    assert tail.stdout.readline() == "good/0 stdout| one\n"
    task.log(1, 0, "stdout", b"two\n")
    assert tail.stdout.readline() == "good/0 stdout| two\n"
    task.exit(0)
    task.exit(1)
    task.end()
    out, err = tail.communicate(timeout=DEADLINE)
    assert out == ""
    assert err.count("cannot read") == 1
