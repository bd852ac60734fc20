"""What an update leads to later on: in the supervisor that carries it out, and in the runs to come."""

from __future__ import annotations

import os

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program

from sandbox.cgroups import tree

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _groups() -> None:
    if os.geteuid() or not tree.own():
        pytest.skip("needs cgroups")


@pytest.mark.parametrize("process", [(), ("--process", "first")], ids=["task", "process"])
def test_every_limit_can_be_taken_away_and_the_supervisor_lives(program: Program, process: tuple[str, ...]) -> None:
    """Not all are -1 when there are none: one that died of that died again over the same record, for ever."""
    resources = {"cpu": 1, "cpu_weight": 50, "cpuset": "0", "ram": "64MiB", "pids": 20}
    run = program.begin([{"name": "first", "cmdline": RAN + AWAIT.format("go")}], resources=resources)
    until(program.started)
    supervisor = program.supervisor()
    for option in ("cpuset", "cpu-weight", "cpu-burst", "cpu", "ram", "pids"):
        told = program.done("update", program.id, *process, f"--{option}", "none")
        assert (told.returncode, told.stderr) == (0, ""), option
    assert program.supervisor() == supervisor
    program.touch("go")
    assert run.wait() == 0


def test_a_task_that_was_given_less_goes_on_with_processes_that_ask_for_more(program: Program) -> None:
    """Version 1 of cgroups itself refuses a run more processor time than its task has."""
    processes = [
        {"name": "first", "cmdline": RAN + AWAIT.format("go"), "resources": {"cpu": 2}},
        {"name": "second", "cmdline": RAN, "after": ["first"]},
        {"name": "third", "cmdline": RAN, "after": ["second"], "resources": {"cpu": 2}},
    ]
    run = program.begin(processes, resources={"cpu": 2})
    until(program.started)
    told = program.done("update", program.id, "--cpu", "1")
    assert (told.returncode, told.stdout[:13]) == (0, "cpu: 1 cores ")
    program.touch("go")
    assert run.wait() == 0
    assert program.ran() == ["first 0", "second 0", "third 0"]
