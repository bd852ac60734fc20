"""Who a process is, when what it is known by is another's: its pid, or the boot clock that its start is told by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, Started, gone

pytestmark = pytest.mark.root

REUSED_PID = Path(__file__).with_name("in_vm") / "reused_pid.py"


@pytest.mark.skipif(not Path("/proc/sys/kernel/ns_last_pid").exists(), reason="this kernel chooses every pid itself")
@pytest.mark.parametrize("mode", ["strict", "none"])
def test_a_stranger_with_the_pid_of_a_dead_run_is_neither_taken_for_it_nor_harmed(tmp_path: Path, mode: str) -> None:
    own_pids = ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child"]
    told = subprocess.run(
        [*own_pids, sys.executable, str(REUSED_PID), str(tmp_path), mode], capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    facts = json.loads(told.stdout)
    assert facts["alive"]
    assert facts["died of"] == 9  # which was ours; nothing else reached it
    assert facts["exit status"] == 0, facts["said"]
    assert facts["ran"] == ["first 0", "first 1"]
    assert [(run["state"], run["exit"]["source"]) for run in facts["runs"]] == [
        ("LOST", "unknown"),
        ("SUCCESS", "waited"),
    ]
    assert facts["runs"][0]["pid"] == facts["pid"]


def in_another_time(program: Program, *words: str) -> Started:
    """A command, where the boot clock is a day ahead; it sees every start time a day later, too."""
    shift = ["unshare", "--time", "--fork", "--boottime", "86400", "--monotonic", "86400"]
    run = Started(
        [*shift, *program._command(words)],
        text=True,
        env=program.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    program.running.append(run)
    return run


@pytest.mark.skipif(not Path("/proc/self/ns/time").exists(), reason="this kernel has no time namespaces")
def test_a_task_taken_over_where_the_boot_clock_is_another_goes_on(program: Program) -> None:
    processes: list[dict[str, Any]] = [
        {"name": "first", "cmdline": RAN + AWAIT.format("go") + "exit 0"},
        {"name": "second", "cmdline": RAN, "after": ["first"]},
    ]
    program.begin(processes)
    first = until(program.started, "first did not start").pid
    until(program.ran, "first did not begin")
    program.kill(program.keeper(), program.supervisor())
    resumed = in_another_time(program, "resume", program.id)
    until(lambda: program.status()["supervised"], "nobody took over")
    assert not gone(first)
    program.touch("go")
    assert resumed.wait() == 0
    assert program.ran() == ["first 0", "second 0"]
    (run,) = program.runs()["first"]
    assert (run["state"], run["pid"]) == ("SUCCESS", first)
    times = [record.at for record in program.records()]
    assert times[-1] - times[0] < 3600
