"""Whoever of the task's own is killed, and whenever: nothing runs twice, no exit status is lost or invented."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, gone

from thermos.core import records as r

pytestmark = pytest.mark.root


def waiting(name: str, then: str = "true", **fields: Any) -> dict[str, Any]:
    """A process that stays until the file go-NAME is there."""
    return {"name": name, "cmdline": RAN + AWAIT.format(f"go-{name}") + then, **fields}


def plain(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "cmdline": RAN, **fields}


def pid_of(program: Program, process: int = 0, run: int = 0) -> int:
    found = until(lambda: program.started(process, run), f"run {run} of process {process} did not start")
    return found.pid


def ranked(program: Program, *lines: str) -> None:
    until(lambda: set(lines) <= set(program.ran()), f"{lines} were not all executed: {program.ran()}")


# -- the sandbox's first process is killed


def test_a_killed_first_process_ends_the_others_and_they_run_again_in_a_new_sandbox(program: Program) -> None:
    run = program.begin([waiting("first", min_duration=0), plain("second", after=["first"])])
    ranked(program, "first 0")
    (sandboxed,) = [record for record in program.records() if isinstance(record, r.Sandboxed)]
    assert sandboxed.init is not None
    program.kill(sandboxed.init)
    ranked(program, "first 1")
    program.touch("go-first")
    assert run.wait() == 0
    assert program.ran() == ["first 0", "first 1", "second 0"]
    assert program.exits("first") == [(None, "SIGKILL", "waited"), (0, None, "waited")]
    assert len({record.init for record in program.records() if isinstance(record, r.Sandboxed)}) == 2


# -- one of the two is killed


def test_a_killed_supervisor_is_replaced_and_its_processes_go_on(program: Program) -> None:
    run = program.begin([waiting("first", "exit 0"), plain("second", after=["first"])])
    ranked(program, "first 0")
    first = pid_of(program)
    program.kill(program.supervisor())
    until(lambda: sum(isinstance(x, r.Supervised) for x in program.records()) == 2, "there is no new supervisor")
    assert not gone(first)
    program.touch("go-first")
    assert run.wait() == 0
    assert program.ran() == ["first 0", "second 0"]
    assert program.exits("first") == [(0, None, "waited")]
    assert program.exits("second") == [(0, None, "waited")]
    assert program.runs()["first"][0]["pid"] == first


def test_an_exit_while_no_supervisor_lives_is_kept(program: Program) -> None:
    run = program.begin([waiting("first", "exit 7"), plain("second")], max_failures=2)
    ranked(program, "first 0", "second 0")
    first, supervisor = pid_of(program), program.supervisor()
    os.kill(supervisor, signal.SIGSTOP)
    program.touch("go-first")
    until(lambda: gone(first), "first did not end")
    program.kill(supervisor)
    assert run.wait() == 0
    assert program.exits("first") == [(7, None, "waited")]
    assert program.ran() == ["first 0", "second 0"] or program.ran() == ["second 0", "first 0"]


def test_a_chain_survives_twenty_kills_of_its_supervisor_with_each_step_run_once(program: Program) -> None:
    """RN-16."""
    names = [f"s{number:02}" for number in range(20)]
    chain = [
        {"name": name, "cmdline": RAN + "sleep 0.05", "after": names[place - 1 : place] if place else []}
        for place, name in enumerate(names)
    ]
    run = program.begin(chain)
    keeper = program.keeper()
    chance = random.Random(4711)
    killed = 0

    def supervisors() -> int:
        return sum(isinstance(record, r.Supervised) for record in program.records())

    while killed < 20 and run.poll() is None:
        began = supervisors()
        if killed % 4:  # else it is killed while it begins
            until(lambda began=began: supervisors() > began or run.poll() is not None)
        polls = iter(range(chance.randrange(12)))
        until(lambda polls=polls: next(polls, None) is None)
        for child in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split() if not gone(keeper) else []:
            if b"thermos.runtime.supervisor" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)
                killed += 1
                until(lambda child=child: gone(int(child)))
    assert run.wait() == 0
    assert killed >= 10
    assert program.ran() == [f"{name} 0" for name in names]
    ends = {
        name: [(run["exit"]["code"], run["exit"]["source"]) for run in runs] for name, runs in program.runs().items()
    }
    assert ends == {name: [(0, "waited")] for name in names}


@pytest.mark.exit_facts
def test_a_killed_keeper_is_replaced_and_the_exit_status_kept(program: Program) -> None:
    """RC-2, where Thermos called the process LOST and ran it again: decision 7."""
    run = program.begin(
        [waiting("first", "exit 7"), waiting("second"), plain("third", after=["second"])], max_failures=2
    )
    ranked(program, "first 0", "second 0")
    first, keeper = pid_of(program), program.keeper()
    program.kill(keeper)
    assert run.wait() == -signal.SIGKILL
    assert until(program.keeper) != keeper
    assert not gone(first)
    program.touch("go-first")
    until(lambda: program.runs()["first"][0]["exit"], "the end of first was not told")
    assert program.exits("first")[0][:2] == (7, None)
    assert program.exits("first")[0][2] in ("pidfd", "zombie")
    program.touch("go-second")
    assert program.done("wait", program.id).returncode == 0
    assert program.exits("second")[0][:2] == (0, None)
    assert program.exits("third") == [(0, None, "waited")]
    assert sorted(program.ran()) == ["first 0", "second 0", "third 0"]
    until(lambda: not program.alive(), "the new keeper did not end")


@pytest.mark.exit_facts
def test_an_exit_while_no_keeper_lives_is_kept(program: Program) -> None:
    """The supervisor holds a pidfd all the time."""
    program.begin([waiting("first", "exit 7")])
    ranked(program, "first 0")
    first, keeper, supervisor = pid_of(program), program.keeper(), program.supervisor()
    os.kill(supervisor, signal.SIGSTOP)
    program.kill(keeper)
    program.touch("go-first")
    until(lambda: gone(first), "first did not end")
    os.kill(supervisor, signal.SIGCONT)
    assert program.done("wait", program.id).returncode == 1
    ((code, number, source),) = program.exits("first")
    assert (code, number) == (7, None)
    assert source in ("pidfd", "zombie")
    assert program.ran() == ["first 0"]
    until(lambda: not program.alive(), "the new keeper did not end")


@pytest.mark.exit_facts
def test_a_retry_after_a_keepers_death_is_a_new_run(program: Program) -> None:
    retried = {"name": "p", "cmdline": RAN + AWAIT.format("go-p") + "rm go-p; [ $THERMOS_RUN = 1 ]"}
    program.begin([{**retried, "max_failures": 2, "min_duration": 0}])
    ranked(program, "p 0")
    program.kill(program.keeper())
    program.touch("go-p")
    ranked(program, "p 1")
    program.kill(program.keeper())
    program.touch("go-p")
    assert program.done("wait", program.id).returncode == 0
    assert [end[:2] for end in program.exits("p")] == [(1, None), (0, None)]
    assert program.ran() == ["p 0", "p 1"]
    until(lambda: not program.alive(), "the keeper did not end")


# -- both are killed


def both_killed(program: Program) -> None:
    program.kill(program.keeper(), program.supervisor())


@pytest.mark.exit_facts
def test_resume_adopts_what_still_runs_and_keeps_its_exit_status(program: Program) -> None:
    program.begin([waiting("first", "exit 7"), waiting("second"), plain("third", after=["second"])], max_failures=2)
    ranked(program, "first 0", "second 0")
    first, second = pid_of(program), pid_of(program, 1)
    inits = [x.init for x in program.records() if isinstance(x, r.Sandboxed)]
    both_killed(program)
    assert program.status()["supervised"] is False
    assert not gone(first)
    assert not gone(second)

    resumed = program.start("resume", program.id)
    until(lambda: program.status()["supervised"], "resume did not take over")
    program.touch("go-first")
    until(lambda: program.runs()["first"][0]["exit"], "the end of first was not told")
    program.touch("go-second")
    assert resumed.wait() == 0
    assert sorted(program.ran()) == ["first 0", "second 0", "third 0"]
    for process, code in (("first", 7), ("second", 0)):
        assert program.exits(process)[0][:2] == (code, None)
        assert program.exits(process)[0][2] in ("pidfd", "zombie")
    assert program.exits("third") == [(0, None, "waited")]
    assert [x.init for x in program.records() if isinstance(x, r.Sandboxed)] == inits


def test_what_ended_while_nobody_looked_is_lost_and_runs_again(program: Program) -> None:
    processes = [waiting("first", "[ $THERMOS_RUN = 1 ]"), waiting("second")]
    program.begin(processes)
    ranked(program, "first 0", "second 0")
    first = pid_of(program)
    both_killed(program)
    program.touch("go-first")
    until(lambda: not Path(f"/proc/{first}").exists(), "nobody reaped first")
    resumed = program.start("resume", program.id)
    ranked(program, "first 1")
    program.touch("go-second")
    assert resumed.wait() == 0
    assert sorted(program.ran()) == ["first 0", "first 1", "second 0"]
    assert program.exits("first") == [(None, None, "unknown"), (0, None, "waited")]
    assert [run["state"] for run in program.runs()["first"]] == ["LOST", "SUCCESS"]
    assert {process["name"]: process["failures"] for process in program.status()["processes"]} == {
        "first": 0,
        "second": 0,
    }


def test_run_of_the_same_file_and_id_resumes_too(program: Program) -> None:
    program.begin([waiting("first")])
    ranked(program, "first 0")
    both_killed(program)
    again = program.start("run", str(program.base / "task.json"), "--task-id", program.id)
    until(lambda: program.status()["supervised"])
    program.touch("go-first")
    assert again.wait() == 0
    assert program.ran() == ["first 0"]


def test_resume_all_takes_over_what_nobody_supervises(program: Program) -> None:
    program.begin([waiting("first")])
    ranked(program, "first 0")
    both_killed(program)
    done = program.done("resume", "--all")
    assert (done.returncode, done.stdout) == (0, f"{program.id}\n")
    program.touch("go-first")
    assert program.done("wait", program.id).returncode == 0
    assert program.ran() == ["first 0"]
    until(lambda: not program.alive(), "the keeper did not end")


def test_a_task_killed_before_its_first_record_is_begun_by_resume(program: Program) -> None:
    """From the moment its directory is there, a task is never lost."""
    run = program.begin([plain("only")])
    until(lambda: program.directory.exists(), "the task was not accepted")
    for pid in program.alive():
        os.kill(pid, signal.SIGSTOP)
    for pid in program.alive():
        os.kill(pid, signal.SIGKILL)
    run.wait()
    assert program.done("resume", program.id).returncode == 0
    assert set(program.ran()) == {"only 0"} or set(program.ran()) == {"only 0", "only 1"}
    assert len(program.ran()) == len(set(program.ran()))


def test_processes_of_a_sandbox_whose_first_process_is_killed_run_again_in_a_new_one(program: Program) -> None:
    run = program.begin([waiting("first", max_failures=1), waiting("second", max_failures=1)])
    ranked(program, "first 0", "second 0")
    pid_of(program, 1)
    (init,) = [x.init for x in program.records() if isinstance(x, r.Sandboxed)]
    assert init is not None
    os.kill(init, signal.SIGKILL)
    ranked(program, "first 1", "second 1")
    program.touch("go-first")
    program.touch("go-second")
    assert run.wait() == 0
    for process in ("first", "second"):
        assert [(code, number) for code, number, _ in program.exits(process)] == [(None, "SIGKILL"), (0, None)]
    assert len(program.ran()) == 4


# -- signals


def final(name: str, cmdline: str = RAN) -> dict[str, Any]:
    return {"name": name, "cmdline": cmdline, "final": True}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_run_kills_gracefully_finalizers_included(program: Program, number: signal.Signals) -> None:
    run = program.begin([waiting("first"), final("last")])
    ranked(program, "first 0")
    pid_of(program)
    run.send_signal(number)
    assert run.wait() == 143
    assert program.ran() == ["first 0", "last 0"]
    assert program.exits("first") == [(None, "SIGTERM", "waited")]
    assert program.status()["state"] == "KILLED"
    assert [x.by for x in program.records() if isinstance(x, r.KillRequested)] == [number.name]


def deaf(name: str) -> dict[str, Any]:
    return {"name": name, "cmdline": 'trap "" TERM; ' + RAN + "while :; do sleep 0.05; done"}


def test_a_second_signal_ends_it_at_once(program: Program) -> None:
    run = program.begin([deaf("first"), final("last")], finalization_wait=3600)
    ranked(program, "first 0")
    run.send_signal(signal.SIGTERM)
    until(lambda: any(isinstance(x, r.Signalled) for x in program.records()), "nothing was stopped")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert program.exits("first") == [(None, "SIGKILL", "waited")]
    assert program.ran() == ["first 0"]


def test_what_ignores_sigterm_is_killed_at_half_time_and_the_finalizer_still_runs(program: Program) -> None:
    run = program.begin([deaf("first"), final("last")], finalization_wait=1)
    ranked(program, "first 0")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert program.ran() == ["first 0", "last 0"]
    signals = [(x.signal, x.at) for x in program.records() if isinstance(x, r.Signalled)]
    (asked,) = [x.at for x in program.records() if isinstance(x, r.KillRequested)]
    assert [number for number, _ in signals] == [signal.SIGTERM, signal.SIGKILL]
    assert 0.5 <= signals[1][1] - asked < 1


def test_a_signal_while_no_supervisor_lives_is_not_lost(program: Program) -> None:
    run = program.begin([waiting("first"), final("last")])
    ranked(program, "first 0")
    pid_of(program)
    supervisor = program.supervisor()
    os.kill(supervisor, signal.SIGSTOP)
    run.send_signal(signal.SIGTERM)
    until(lambda: not pending(run.pid, signal.SIGTERM), "the keeper did not take the signal")
    program.kill(supervisor)
    assert run.wait() == 143
    assert program.ran() == ["first 0", "last 0"]


def pending(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return bool((int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)) & 1 << number - 1)


def test_a_signal_to_keeper_and_supervisor_together_kills_gracefully(program: Program) -> None:
    """As an init system does that signals every process of a service."""
    run = program.begin([waiting("first"), final("last")])
    ranked(program, "first 0")
    pid_of(program)
    os.kill(program.supervisor(), signal.SIGTERM)
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert program.ran() == ["first 0", "last 0"]


@pytest.mark.parametrize("polls", [0, 3, 6, 9, 12, 15, 18, 21, 24, 30])
def test_a_signal_while_the_task_begins_leaves_nothing_half_done(program: Program, polls: int) -> None:
    """Either there is no task, or it was killed: never one that goes on as if nothing had been said."""
    run = program.begin([waiting("first"), final("last")])
    left = iter(range(polls))
    until(lambda: next(left, None) is None)
    run.send_signal(signal.SIGTERM)
    status = run.wait()
    if program.directory.exists():
        assert status == 143
        assert program.status()["state"] == "KILLED"
    else:
        assert status in (143, -signal.SIGTERM, 130)
        assert not list(program.root.glob("tasks/.*"))


def test_kill_ends_a_task_that_nobody_supervises(program: Program) -> None:
    program.begin([waiting("first"), final("last")])
    ranked(program, "first 0")
    both_killed(program)
    assert program.done("kill", program.id).returncode == 0
    assert program.ran() == ["first 0", "last 0"]
    assert program.status()["state"] == "KILLED"
    until(lambda: not program.alive(), "the keeper did not end")


# -- ids


def test_two_runs_with_one_id_at_the_same_moment_are_one_task(program: Program) -> None:
    processes = [waiting("first", "exit 3"), plain("second")]
    runs = [program.begin(processes) for _ in range(4)]
    ranked(program, "first 0", "second 0")
    program.touch("go-first")
    assert [run.wait() for run in runs] == [1, 1, 1, 1]
    assert sorted(program.ran()) == ["first 0", "second 0"]


def test_an_id_that_another_task_has_is_refused(program: Program) -> None:
    assert program.begin([plain("first")]).wait() == 0
    other = program.begin([plain("second")])
    out, err = other.communicate()
    assert other.returncode == 73
    assert (out, err) == (
        "",
        f"cannot use the task id {program.id}: another task has it, and ids are never used twice\n",
    )
    assert program.ran() == ["first 0"]


def test_an_id_that_another_task_has_is_refused_whatever_its_ports(program: Program) -> None:
    assert program.begin([plain("first")]).wait() == 0
    other = program.begin([{"name": "first", "cmdline": "echo {{thermos.ports[http]}}"}])
    _, err = other.communicate()
    assert other.returncode == 73
    assert err.startswith(f"cannot use the task id {program.id}: another task has it")


def test_an_ended_tasks_id_gives_its_result_at_once(program: Program) -> None:
    assert program.begin([{"name": "first", "cmdline": RAN + "exit 3"}]).wait() == 1
    records = program.records()
    assert program.begin([{"name": "first", "cmdline": RAN + "exit 3"}]).wait() == 1
    assert program.done("resume", program.id).returncode == 1
    assert program.records() == records
    assert program.ran() == ["first 0"]


# -- how it is shown


def test_detach_returns_while_its_output_is_captured(program: Program) -> None:
    done = program.done("run", program.write([waiting("first")]), "--task-id", program.id, "--detach")
    assert (done.returncode, done.stdout) == (0, f"{program.id}\n")
    assert program.status()["supervised"]
    ranked(program, "first 0")
    program.touch("go-first")
    assert program.done("wait", program.id).returncode == 0
    until(lambda: not program.alive(), "the keeper did not end")


def test_json_gives_every_record_as_a_line_and_the_tasks_exit_status(program: Program) -> None:
    run = program.begin([{"name": "first", "cmdline": RAN + "exit 3"}], "--json")
    out, _ = run.communicate()
    assert run.returncode == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == len(program.records())
    assert [line["stage"] for line in lines if line["type"] == "stage"] == [
        "ACTIVE",
        "CLEANING",
        "FINALIZING",
        "FAILED",
    ]


def test_what_the_caller_has_open_does_not_reach_a_process(program: Program) -> None:
    """PR-5 and decision 9."""
    reader, writer = os.pipe()
    run = program.begin([{"name": "first", "argv": ["/bin/ls", "/proc/self/fd"]}], pass_fds=(reader, writer))
    assert run.wait() == 0
    os.close(reader)
    os.close(writer)
    assert program.log("first").split() == ["0", "1", "2", "3"]  # the last is its own, to list the others


# -- limits


def test_a_process_out_of_memory_failed_with_oom(program: Program) -> None:
    greedy = ["/usr/bin/tail", "/dev/zero"]
    run = program.begin([{"name": "greedy", "argv": greedy}, plain("small")], resources={"ram": "32MiB"})
    assert run.wait() == 1
    (greedy_run,) = program.runs()["greedy"]
    assert greedy_run["state"] == "FAILED"
    assert greedy_run["exit"]["signal"] == "SIGKILL"
    assert greedy_run["exit"]["oom"] is True
    assert program.runs()["small"][0]["exit"]["oom"] is False


def test_what_a_process_leaves_behind_is_killed_before_what_follows_starts(program: Program) -> None:
    background = "(setsid sh -c 'trap \"\" TERM HUP; echo > up; while :; do sleep 0.05; done' &) ; " + AWAIT.format(
        "up"
    )
    see = "ps -e -o args= | grep -c '[w]hile :' > counted; true"
    run = program.begin(
        [{"name": "first", "cmdline": background}, {"name": "second", "cmdline": see, "after": ["first"]}]
    )
    assert run.wait() == 0
    assert (program.sandbox / "counted").read_text() == "0\n"


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM afterwards"])
def test_a_run_that_stands_by_takes_over_when_those_in_charge_die(program: Program, how: str) -> None:
    first = program.begin([waiting("first"), plain("second", after=["first"])])
    ranked(program, "first 0")
    second = program.begin([waiting("first"), plain("second", after=["first"])])
    assert second.stderr is not None
    until(lambda: "waiting for its end" in (second.stderr.readline() if second.stderr else ""))
    program.kill(program.keeper(), program.supervisor())
    assert first.wait() == -signal.SIGKILL
    until(lambda: sum(isinstance(record, r.Supervised) for record in program.records()) == 2)
    if how == "SIGKILL":
        program.touch("go-first")
        assert second.wait() == 0
        assert program.ran() == ["first 0", "second 0"]
    else:
        second.send_signal(signal.SIGTERM)
        assert second.wait() == 143
        assert program.ran() == ["first 0"]
