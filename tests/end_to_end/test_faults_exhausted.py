"""Whoever starts thermos may have few processes and few open files: it works with that, or says what is missing."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, Started, gone

from thermos.core import records as r

pytestmark = pytest.mark.root


def few_files(most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def begin(program: Program, processes: list[dict[str, Any]], most: int, **fields: Any) -> Started:
    task = program.write(processes, **fields)
    return program.start(*("run", task, "--task-id", program.id, "--isolation", "none"), preexec_fn=few_files(most))


def states(program: Program, process: str) -> list[str]:
    return [run["state"] for run in program.runs()[process]]


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


# -- open files


@pytest.mark.parametrize(
    ("count", "most", "says"),
    [
        (1, 24, "cannot supervise a process with at most 24 open files: 33 are needed"),
        (40, 64, "cannot supervise 40 processes at once with at most 64 open files: 72 are needed"),
    ],
)
def test_too_few_open_files_are_told_before_anything_is_begun(
    program: Program, count: int, most: int, says: str
) -> None:
    run = begin(program, [{"name": f"p{number}", "cmdline": RAN} for number in range(count)], most)
    _, said = run.communicate()
    assert run.returncode == 69
    assert said == f"{says}; raise the hard limit (ulimit -H -n), or set max_concurrency\n"
    assert list((program.root / "tasks").iterdir()) == []


def test_more_processes_than_open_files_run_a_few_at_a_time(program: Program) -> None:
    names = [f"p{number}" for number in range(45)]
    run = begin(program, [{"name": name, "cmdline": RAN} for name in names], 40, max_concurrency=8)
    assert run.wait() == 0
    assert sorted(program.ran()) == sorted(f"{name} 0" for name in names)


@pytest.mark.exit_facts
def test_with_as_few_open_files_as_may_be_no_exit_status_is_lost_with_the_keeper(program: Program) -> None:
    count = 40
    processes = [{"name": f"p{number}", "cmdline": f"kill -STOP $$; exit {number}"} for number in range(count)]
    begin(program, processes, count + 32, max_failures=0)
    started = until(lambda: all_started(program, count), "they did not all start")
    until(lambda: all(stopped(pid) for pid in started.values()), "they did not all stop")
    program.kill(program.keeper())
    for pid in started.values():
        os.kill(pid, signal.SIGCONT)
    assert program.done("wait", program.id).returncode == 0
    assert {name: [run["exit"]["code"] for run in runs] for name, runs in program.runs().items()} == {
        f"p{number}": [number] for number in range(count)
    }
    until(lambda: not program.alive(), "the new keeper did not end")


def all_started(program: Program, count: int) -> dict[int, int]:
    """The pid of each process's run, once it is known of all."""
    pids = {record.process: record.pid for record in program.records() if isinstance(record, r.Started)}
    return pids if len(pids) == count else {}


# -- processes


def may_have(program: Program, pid: int, processes: str) -> None:
    """How many processes its user may have when it forks; as `ulimit -S -u` of its caller would have said."""
    words = ["prlimit", f"--pid={pid}", f"--nproc={processes}:"]
    subprocess.run(words, user=program.uid, group=program.uid, extra_groups=[], check=True)


def test_a_run_for_which_its_user_has_no_process_left_is_lost_and_tried_again(nobody: Program) -> None:
    late = {"name": "late", "cmdline": RAN + "[ $THERMOS_RUN -gt 0 ] || { kill -STOP $$; exit 1; }"}
    run = nobody.begin([{**late, "max_failures": 2, "min_duration": 0}], "--isolation", "none")
    pid = until(nobody.started, "it did not start").pid
    keeper = nobody.keeper()
    may_have(nobody, keeper, "0")
    until(lambda: stopped(pid), "it did not stop")
    os.kill(pid, signal.SIGCONT)
    until(lambda: any(isinstance(record, r.Refused) for record in nobody.records()), "it could be started again")
    may_have(nobody, keeper, "4096")
    assert run.wait() == 0
    first, *lost, last = states(nobody, "late")
    assert (first, set(lost), last) == ("FAILED", {"LOST"}, "SUCCESS")
    assert nobody.ran() == ["late 0", f"late {len(lost) + 1}"]


def test_a_supervisor_that_dies_when_its_user_has_no_process_left_is_replaced_when_there_is_one(
    nobody: Program,
) -> None:
    first = {"name": "first", "cmdline": RAN + AWAIT.format("go")}
    run = nobody.begin([first, {"name": "last", "cmdline": RAN, "final": True}], "--isolation", "none")
    until(lambda: nobody.ran() and nobody.started(), "it did not start")
    keeper = nobody.keeper()
    may_have(nobody, keeper, "0")
    nobody.kill(nobody.supervisor())
    nobody.touch("go")
    assert not gone(keeper)
    may_have(nobody, keeper, "4096")
    assert run.wait() == 0
    assert nobody.ran() == ["first 0", "last 0"]
    assert nobody.exits("first") == [(0, None, "waited")]


@pytest.mark.exit_facts
def test_a_keeper_that_dies_when_its_user_has_no_process_left_is_replaced_when_there_is_one(nobody: Program) -> None:
    first = {"name": "first", "cmdline": RAN + "kill -STOP $$; exit 3"}
    nobody.begin([first, {"name": "last", "cmdline": RAN, "final": True}], "--isolation", "none")
    pid = until(nobody.started, "it did not start").pid
    supervisor = nobody.supervisor()
    may_have(nobody, supervisor, "0")
    nobody.kill(nobody.keeper())
    until(lambda: stopped(pid), "it did not stop")
    os.kill(pid, signal.SIGCONT)
    until(lambda: gone(pid), "it did not end")
    may_have(nobody, supervisor, "4096")
    assert nobody.done("wait", nobody.id).returncode == 1
    assert nobody.ran() == ["first 0", "last 0"]
    assert nobody.exits("first")[0][:2] == (3, None)
    until(lambda: not nobody.alive(), "the new keeper did not end")
