"""`thermos wait`."""

from __future__ import annotations

import json

import pytest
from task_directories import DEADLINE, Cli

from thermos.core.fold import Result


@pytest.mark.parametrize(("result", "status"), [("SUCCESS", 0), ("FAILED", 1), ("LOST", 137), ("KILLED", 143)])
def test_the_exit_status_is_the_result(cli: Cli, result: Result, status: int) -> None:
    task = cli.task()
    task.activate()
    task.end(result, "because")
    assert cli.run("wait", task.id) == (status, f"hello-1: {result}: because\n", "")


def test_it_blocks_until_the_end_and_says_that_nobody_is_in_charge(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    waiting = cli.start("wait", task.id, "--json")
    assert waiting.stderr
    assert waiting.stderr.readline() == "nobody is in charge of hello-1, still waiting: thermos resume hello-1\n"
    task.take_charge()
    task.start(0)
    task.end("FAILED")
    out, err = waiting.communicate(timeout=DEADLINE)
    assert (waiting.returncode, err) == (1, "")
    assert json.loads(out)["state"] == "FAILED"


def test_a_supervisor_that_leaves_while_we_wait_is_noticed(cli: Cli) -> None:
    task = cli.task()
    task.take_charge()
    task.activate()
    waiting = cli.start("wait", task.id)
    task.let_go()  # no other change follows: only the lock can tell
    assert waiting.stderr
    assert waiting.stderr.readline().startswith("nobody is in charge of hello-1")
    task.end("SUCCESS")
    assert waiting.wait(DEADLINE) == 0


def test_an_unknown_task_is_not_waited_for(cli: Cli) -> None:
    status, out, err = cli.run("wait", "nope")
    assert (status, out) == (1, "")
    assert err.startswith("cannot find task nope")
