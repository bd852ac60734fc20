"""Processes and their keepers killed from outside and by us: what a death is called, who is reached, who gets time."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, gone

from thermos.core import records as r

pytestmark = pytest.mark.root

#: Ignores SIGTERM, and lives until it is killed.
DEAF = 'trap "" TERM; ' + RAN + "while :; do sleep 0.05; done"

#: By what the first run dies. The second one is well.
FAULTS = ("SEGV", "ABRT", "BUS", "ILL", "FPE", "SYS", "TRAP", "XCPU", "XFSZ")
FROM_OUTSIDE = ("KILL", "TERM", "INT", "HUP", "QUIT", "USR1", "PIPE", "ALRM", "RTMIN")


def finalizer(name: str = "last", cmdline: str = RAN) -> dict[str, Any]:
    return {"name": name, "cmdline": cmdline, "final": True}


def pid_of(program: Program, run: int = 0) -> int:
    found = until(lambda: program.started(0, run), f"run {run} did not start")
    assert found is not None
    return found.pid


def came_to(program: Program, *lines: str) -> None:
    until(lambda: set(lines) <= set(program.ran()), f"{lines} were not all executed: {program.ran()}")


def ended(program: Program, name: str = "p") -> list[str]:
    return [run["state"] for run in program.runs()[name]]


def stops(program: Program) -> list[int]:
    return [x.signal for x in program.records() if isinstance(x, r.Signalled) and x.stop]


# -- what a death is called


def test_each_signal_death_is_the_programs_own_fault_or_not(program: Program) -> None:
    """Decision 1. Its own fault counts and is final here; any other is tried again, and does not count."""
    processes: list[dict[str, Any]] = [
        {"name": name, "argv": ["sh", "-c", f"[ $THERMOS_RUN = 1 ] || kill -{name} $$"], "min_duration": 0}
        for name in FAULTS + FROM_OUTSIDE
    ]
    assert program.begin(processes, max_failures=0).wait() == 0
    found = {process["name"]: process for process in program.status()["processes"]}
    for name in FAULTS:
        assert [run["state"] for run in found[name]["runs"]] == ["FAILED"], name
        assert found[name]["failures"] == 1
    for name in FROM_OUTSIDE:
        assert [run["state"] for run in found[name]["runs"]] == ["KILLED", "SUCCESS"], name
        assert found[name]["failures"] == 0
    for name in FAULTS + FROM_OUTSIDE:
        number = getattr(signal, f"SIG{name}")
        shown = "SIGRTMIN" if name == "RTMIN" else signal.Signals(number).name
        assert found[name]["runs"][0]["exit"]["signal"] == shown


@pytest.mark.parametrize("how", ["by a stranger", "on request"])
def test_a_killed_process_runs_again(program: Program, how: str) -> None:
    """RC-1. Whether it is somebody's SIGKILL or one sent with `thermos signal`: nothing failed."""
    cmdline = RAN + "[ $THERMOS_RUN = 1 ] || exec sleep 1000"
    run = program.begin([{"name": "p", "cmdline": cmdline, "min_duration": 1}])
    pid = pid_of(program)
    if how == "by a stranger":
        os.kill(pid, signal.SIGKILL)
    else:
        assert program.done("signal", program.id, "p", "KILL").returncode == 0
    assert run.wait() == 0
    assert program.exits("p") == [(None, "SIGKILL", "waited"), (0, None, "waited")]
    assert ended(program) == ["KILLED", "SUCCESS"]
    first, second = program.runs()["p"]
    assert second["started_at"] >= first["ended_at"] + 1
    assert program.status()["processes"][0]["failures"] == 0


# -- keeper, process and supervisor are killed, one after another and all at once


@pytest.mark.exit_facts
def test_what_each_kill_leaves_behind_is_known_to_the_next(program: Program) -> None:
    """RC-3, with decision 7: a keeper's death loses no run; so there is one KILLED, and the second is RUNNING."""
    program.begin([{"name": "p", "cmdline": DEAF, "min_duration": 0}], finalization_wait=1)
    came_to(program, "p 0")
    pid, keeper = pid_of(program), program.keeper()
    program.kill(keeper)
    assert until(program.keeper) != keeper
    assert not gone(pid)
    until(lambda: program.status()["supervised"])
    os.kill(pid, signal.SIGKILL)
    came_to(program, "p 1")
    second = pid_of(program, 1)
    program.kill(program.supervisor())
    until(lambda: sum(isinstance(x, r.Supervised) for x in program.records()) == 2, "there is no new supervisor")
    assert not gone(second)
    assert ended(program) == ["KILLED", "RUNNING"]
    assert program.done("kill", program.id).returncode == 0
    assert gone(second)
    assert ended(program) == ["KILLED", "KILLED"]
    assert program.ran() == ["p 0", "p 1"]


def test_a_forced_kill_of_what_has_lost_everybody_starts_nothing(program: Program) -> None:
    """RC-4. Nobody saw the end of the one run: it is LOST, and nothing else is made of it."""
    program.begin([{"name": "p", "cmdline": DEAF}, finalizer()])
    came_to(program, "p 0")
    pid = pid_of(program)
    program.kill(program.keeper(), program.supervisor())
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), "nobody reaped it")
    assert program.done("kill", "--now", program.id).returncode == 0
    assert program.status()["state"] == "KILLED"
    assert program.exits("p") == [(None, None, "unknown")]
    assert ended(program) == ["LOST"]
    assert program.ran() == ["p 0"]


# -- a kill's budget


def test_a_kill_takes_as_long_as_it_was_given_where_sigterm_is_ignored(program: Program) -> None:
    """RC-5: not the task's own finalization_wait."""
    run = program.begin([{"name": "p", "cmdline": DEAF}], finalization_wait=3600)
    came_to(program, "p 0")
    assert program.done("kill", "--wait", "1", program.id).returncode == 0
    assert run.wait() == 143
    assert program.exits("p") == [(None, "SIGKILL", "waited")]
    assert stops(program) == [signal.SIGTERM, signal.SIGKILL]
    (asked,) = [x.at for x in program.records() if isinstance(x, r.KillRequested)]
    (killed,) = [x.at for x in program.records() if isinstance(x, r.Signalled) and x.signal == signal.SIGKILL]
    assert killed >= asked + 1


def test_a_kill_by_force_runs_no_finalizer(program: Program) -> None:
    """Decision 8: it has to be asked for."""
    run = program.begin([{"name": "p", "cmdline": DEAF}, finalizer()], finalization_wait=3600)
    came_to(program, "p 0")
    assert program.done("kill", "--now", program.id).returncode == 0
    assert run.wait() == 143
    assert stops(program) == [signal.SIGKILL]
    assert program.ran() == ["p 0"]


def test_a_kill_matches_no_other_id_that_begins_the_same(program: Program) -> None:
    """Decision 8. Thermos took `web-1` for the beginning of `web-10`."""
    run = program.begin([{"name": "p", "cmdline": RAN + AWAIT.format("go")}])
    came_to(program, "p 0")
    done = program.done("kill", program.id[:-1])
    assert done.returncode != 0
    assert program.id[:-1] in done.stderr
    program.touch("go")
    assert run.wait() == 0
    assert not any(isinstance(x, r.KillRequested) for x in program.records())


def test_a_kill_while_finalizing_lets_the_finalizer_go_on(program: Program) -> None:
    """Decision 4. Thermos began it again."""
    run = program.begin([{"name": "p", "cmdline": RAN}, finalizer(cmdline=RAN + AWAIT.format("go"))])
    came_to(program, "last 0")
    assert program.done("kill", "--no-wait", program.id).returncode == 0
    program.touch("go")
    assert run.wait() == 143
    assert program.ran() == ["p 0", "last 0"]
    assert ended(program, "last") == ["SUCCESS"]
    assert stops(program) == []


def test_a_second_kill_ends_the_finalizer_and_begins_no_other(program: Program) -> None:
    """Decision 4."""
    processes = [{"name": "p", "cmdline": RAN}, finalizer(cmdline=DEAF)]
    processes.append({**finalizer("never"), "after": ["last"]})
    run = program.begin(processes, finalization_wait=3600)
    came_to(program, "last 0")
    for _ in range(2):
        assert program.done("kill", "--no-wait", program.id).returncode == 0
    assert run.wait() == 143
    assert program.ran() == ["p 0", "last 0"]
    assert program.exits("last") == [(None, "SIGKILL", "waited")]
    assert program.runs()["never"] == []


@pytest.mark.parametrize("others", [1, 20])
def test_a_kill_while_processes_are_being_started_reaches_all_of_them(program: Program, others: int) -> None:
    """Decision 4: none misses its SIGTERM, so none waits for its SIGKILL, and the finalizer runs."""
    processes = [{"name": f"p{n}", "cmdline": RAN + "exec sleep 1000"} for n in range(others)]
    run = program.begin([*processes, finalizer()], finalization_wait=3600)
    until(lambda: any(isinstance(x, r.Launched) for x in program.records()), "nothing was launched")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert set(stops(program)) == {signal.SIGTERM}
    assert program.ran()[-1] == "last 0"
    assert all(ended(program, process["name"]) in ([], ["KILLED"]) for process in processes)


# -- who is reached

#: Says that it is there, and when it gets SIGTERM that it got it.
LISTENS = "trap 'echo {0} >> heard; exit' TERM; touch up-{0}; while :; do sleep 0.01; done"


def up(program: Program, *names: str) -> None:
    for name in names:
        until((program.sandbox / f"up-{name}").exists, f"{name} did not start")


def heard(program: Program) -> list[str]:
    try:
        return sorted((program.sandbox / "heard").read_text().split())
    except FileNotFoundError:
        return []


def test_a_stop_reaches_the_children_of_a_process_that_waits_for_them(program: Program) -> None:
    """Decision 3: its whole process group."""
    children = "".join(f"({LISTENS.format(name)}) & " for name in ("one", "two"))
    cmdline = children + "trap 'wait' TERM; touch up-main; wait; wait"
    run = program.begin([{"name": "p", "cmdline": cmdline}], finalization_wait=3600)
    up(program, "one", "two", "main")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert heard(program) == ["one", "two"]
    assert stops(program) == [signal.SIGTERM]


def detached(listener: str) -> str:
    """Forks twice, and the second child leads a session of its own: nobody of the run's group is its parent."""
    return f'(setsid bash -c "$LISTENER" &) ; {AWAIT.format(f"up-{listener}")}'


@pytest.mark.parametrize("ignores", [False, True])
def test_nothing_of_a_run_outlives_it_however_it_got_away(program: Program, ignores: bool) -> None:
    """Decision 3: SIGKILL to its whole cgroup. Thermos lost such daemons, or asked them once and let them be."""
    listener = 'trap "" TERM HUP INT; touch up-far; while :; do sleep 0.01; done' if ignores else LISTENS.format("far")
    processes = [
        {"name": "p", "cmdline": detached("far") + "exec sleep 1000"},
        finalizer(cmdline=RAN + "ps -e -o args="),
    ]
    run = program.begin(processes, finalization_wait=6, env={"LISTENER": listener})
    up(program, "far")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert program.ran() == ["last 0"]
    assert "up-far" not in program.log("last")
    assert ended(program) == ["KILLED"]


def test_a_child_has_time_to_stop_though_the_main_process_went_first(program: Program) -> None:
    """Decision 3. As in `server | tee log`: the shell in between dies of the SIGTERM that the server handles."""
    child = LISTENS.format("child").replace("echo", "sleep 1; echo")
    cmdline = f"({child}) & touch up-main; wait"
    run = program.begin([{"name": "p", "cmdline": cmdline}], finalization_wait=60)
    up(program, "child", "main")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert heard(program) == ["child"]


def test_a_daemon_that_forked_twice_gets_its_sigterm(program: Program) -> None:
    """Decision 3, and Thermos's own end-to-end test: what has escaped from the group may have something to put away."""
    process = {"name": "p", "cmdline": detached("far") + "exec sleep 1000"}
    run = program.begin([process], finalization_wait=60, env={"LISTENER": LISTENS.format("far")})
    up(program, "far")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    assert heard(program) == ["far"]
