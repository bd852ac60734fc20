"""The first process of a sandbox is killed by somebody: as the task ends, and where its end does not end the others."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, gone, groups

from thermos.core import records as r

pytestmark = pytest.mark.root

NO_PID_NAMESPACE: dict[str, Any] = {"network": "private", "namespaces": {"pid": False}}


def waiting(name: str, then: str = "", **fields: Any) -> dict[str, Any]:
    """Each run of it until there is a file for that run."""
    wait = AWAIT.format(f"go-{name}-$THERMOS_RUN")
    return {"name": name, "cmdline": RAN + wait + then, "min_duration": 0, **fields}


def firsts(program: Program) -> list[int]:
    """Every first process that the task has had."""
    return [record.init for record in program.records() if isinstance(record, r.Sandboxed) and record.init]


@pytest.mark.exit_facts
def test_a_first_process_that_is_gone_as_the_task_ends_keeps_nobody_from_tidying_up(program: Program) -> None:
    task = program.begin([waiting("p")])
    until(program.ran)
    before = program.keeper()
    program.kill(before)  # nobody whom the next keeper reaps is the first process from here on
    until(lambda: program._part("keeper") not in (0, before) and program.status()["supervised"])
    keeper, supervisor = program.keeper(), program.supervisor()
    (init,) = firsts(program)
    pid = program.runs()["p"][0]["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        program.touch("go-p-0")
        until(lambda: gone(pid))
        until(lambda: "exited" in (program.directory / "exits").read_text())
    finally:
        os.kill(keeper, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGCONT)
    until(lambda: gone(supervisor), "the supervisor did not ask for the end")
    os.kill(init, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{init}").exists(), "nobody reaped the first process")
    os.kill(keeper, signal.SIGCONT)
    assert task.wait() == -9
    until(lambda: not program.alive())
    assert not groups(program)
    assert program.status()["state"] == "SUCCESS"


def test_without_a_pid_namespace_too_a_first_process_that_is_killed_ends_the_others(program: Program) -> None:
    address = "ip -o -4 address show dev eth0 | grep -o inet"
    task = program.begin([waiting("a", address), waiting("b", address)], sandbox=NO_PID_NAMESPACE)
    until(lambda: len(program.ran()) == 2)
    program.kill(*until(lambda: firsts(program)))
    until(lambda: len(program.ran()) == 4, "they did not run again")
    for name in "ab":
        program.touch(f"go-{name}-1")
    assert task.wait() == 0
    assert sorted(program.ran()) == ["a 0", "a 1", "b 0", "b 1"]
    for name in "ab":
        assert program.exits(name) == [(None, "SIGKILL", "waited"), (0, None, "waited")]
        assert program.log(name, 1) == "inet\n"
    assert len(firsts(program)) == 2


def test_who_outlived_both_a_keeper_and_its_sandbox_does_not_go_on_without_it(program: Program) -> None:
    program.begin([waiting("a")], sandbox=NO_PID_NAMESPACE)
    until(program.ran)
    (init,) = until(lambda: firsts(program))
    keeper, supervisor = program.keeper(), program.supervisor()
    program.kill(keeper, supervisor)
    program.kill(init)
    program.touch("go-a-1")
    assert program.done("resume", program.id).returncode == 0
    assert program.ran() == ["a 0", "a 1"]
    assert program.exits("a")[1] == (0, None, "waited")
