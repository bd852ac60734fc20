"""What a task file may say of one process alone: user, directory, environment, limits, its stop, what is a success."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, ran, rows

from thermos.core import records as r

pytestmark = pytest.mark.root


def process(name: str = "p", cmdline: str = RAN, **fields: Any) -> dict[str, Any]:
    return {"name": name, "cmdline": cmdline, "min_duration": 0, **fields}


# -- who and where


def test_a_process_of_another_user_than_the_tasks_has_logs_of_its_own_and_only_its_rights(program: Program) -> None:
    say = 'id -un; echo "$USER $LOGNAME"; touch /proc/self/cwd/mine || echo refused'
    both = [process("own", say), process("other", say, user="daemon"), process("third", say, user="bin")]
    assert ran(program, *both, user="nobody") == 0
    assert program.log("own").split() == ["nobody", "nobody", "nobody"]
    assert program.log("other").split() == ["daemon", "daemon", "daemon", "refused"]
    assert program.log("third").split() == ["bin", "bin", "bin", "refused"]
    assert (program.sandbox / ".logs/other/0/stdout").owner() == "daemon"


def test_a_directory_that_is_shared_keeps_its_mode_and_no_link_in_it_is_followed(program: Program) -> None:
    shared, victim = program.base / "shared", program.base / "victim"
    for directory in (program.base.parent, program.base):
        directory.chmod(directory.stat().st_mode | 0o011)
    shared.mkdir()
    shared.chmod(0o1777)
    assert (
        program.begin(
            [process("own", "true"), process("other", "true", user="daemon")], "--sandbox", str(shared)
        ).wait()
        == 0
    )
    assert shared.stat().st_mode & 0o7777 == 0o1777
    victim.mkdir()
    shutil.rmtree(shared / ".logs")
    (shared / ".logs").symlink_to(victim)
    program.id += "-again"
    run = program.begin([process("own", "true"), process("other", "true", user="daemon")], "--sandbox", str(shared))
    assert "Not a directory" in run.communicate()[1]
    assert run.returncode == 73
    assert list(victim.iterdir()) == []


def test_a_user_that_is_not_there_is_refused_before_anything_starts(program: Program) -> None:
    run = program.begin([process(), process("other", user="no-such-user")])
    out, err = run.communicate()
    assert (run.returncode, out) == (69, "")
    assert re.search(r"task\.json:1:\d+: cannot run as no-such-user: this host has no such user\n$", err)
    assert not program.directory.exists()


def test_a_plain_user_cannot_have_processes_of_others(nobody: Program) -> None:
    done = nobody.begin([process(user="daemon")])
    said = done.communicate()[1]
    assert re.search(r"task\.json:1:\d+: cannot run as daemon: only root can become another user\n$", said)
    assert done.returncode == 69


def test_a_plain_user_may_name_who_they_are_anyhow(nobody: Program) -> None:
    run = nobody.begin([process(user="nobody", cmdline="id -un")], "--isolation", "best-effort")
    assert run.wait() == 0
    assert nobody.log("p") == "nobody\n"


def test_a_process_works_where_it_says_from_the_sandbox_on(program: Program) -> None:
    first = process("first", "mkdir below")
    there = process("there", "pwd", cwd="below", after="first")
    assert ran(program, first, there, process("away", "pwd", cwd="/usr")) == 0
    assert program.log("there") == f"{program.sandbox}/below\n"
    assert program.log("away") == "/usr\n"


def test_a_directory_that_is_not_there_is_a_failure_that_names_it(program: Program) -> None:
    assert ran(program, process(cwd="no/such")) == 1
    (only,) = program.runs()["p"]
    assert only["exit"]["cause"] == "cannot enter its working directory: No such file or directory (no/such)"


def test_a_processs_variables_go_before_the_tasks(program: Program) -> None:
    say = 'echo "$A $B $THERMOS_PROCESS $THERMOS_TASK_ID $USER"'
    env = {"A": "own", "USER": "me"}
    assert ran(program, process(cmdline=say, env=env), process("q", say), env={"A": "task", "B": "b"}) == 0
    assert program.log("p").split() == ["own", "b", "p", program.id, "me"]
    assert program.log("q").split() == ["task", "b", "q", program.id, "root"]


def test_bash_env_of_a_file_goes_before_the_profile_that_a_task_wrote(program: Program) -> None:
    first = process("first", "echo 'echo profile' > .thermos_profile; echo 'echo mine' > mine")
    own = process("own", "true", after="first", env={"BASH_ENV": "mine"})
    assert ran(program, first, own, process("other", "true", after="first")) == 0
    assert (program.log("own"), program.log("other")) == ("mine\n", "profile\n")


# -- limits


def test_each_run_of_a_process_has_its_own_limits_within_the_tasks(program: Program) -> None:
    eat = process(
        "eat",
        RAN + "exec python3 -c 'x = bytearray(200 << 20)'",
        max_failures=2,
        resources={"ram": "64MiB", "pids": 30},
    )
    assert ran(program, eat, process("other", "python3 -c 'x = bytearray(100 << 20)'"), max_failures=0) == 0
    runs = program.runs()
    assert [(each["exit"]["signal"], each["exit"]["oom"]) for each in runs["eat"]] == [("SIGKILL", True)] * 2
    assert [each["state"] for each in runs["other"]] == ["SUCCESS"]
    got = rows(program)
    assert got["memory of eat"]["asked"] == "64 MiB"
    assert got["memory of eat"]["got"].startswith("64 MiB (cgroup v")
    assert got["pids of eat"]["got"].startswith("30 (cgroup v")


def test_a_fork_bomb_in_one_process_leaves_the_others_alone(program: Program) -> None:
    bomb = process("bomb", ":(){ :|:& };:; sleep 0.3", resources={"pids": 20}, ephemeral=True)
    # Not sooner: the task ends with the other one, and with it a bomb that has not gone off.
    until_it_went_off = "until grep -q unavailable .logs/bomb/0/stderr; do sleep 0.01; done; "
    other = process("other", until_it_went_off + "for i in $(seq 50); do /bin/true || exit 1; done")
    assert ran(program, bomb, other, finalization_wait=1) == 0
    assert "Resource temporarily unavailable" in program.log("bomb", stream="stderr")


def test_what_a_process_asks_for_and_the_host_cannot_give_is_refused_by_name_or_shown(program: Program) -> None:
    asks = process(resources={"ram": "64MiB"})
    run = program.begin([asks], "--isolation", "none")
    out, err = run.communicate()
    assert (run.returncode, out) == (0, ""), err
    assert rows(program)["memory of p"] == {
        "what": "memory of p",
        "asked": "64 MiB",
        "got": None,
        "why_not": "isolation is none",
    }


# -- how it is stopped


def finalizer() -> dict[str, Any]:
    return process("last", RAN, final=True)


@pytest.mark.parametrize(
    ("to", "reached"), [("all", {"main", "child", "escaped"}), ("group", {"main", "child"}), ("main", {"main"})]
)
def test_a_stop_reaches_whom_the_file_says(program: Program, to: str, reached: set[str]) -> None:
    """Decision 3: the process group by default, and what escaped from it; or less, on request."""
    trapped = 'trap "touch got.{0}; sleep 0.3; exit 0" USR2; touch up.{0}; while :; do sleep 0.02; done'
    children = f"bash -c '{trapped.format('child')}' & setsid bash -c '{trapped.format('escaped')}' & "
    run = program.begin(
        [process(cmdline=children + trapped.format("main"), stop={"signal": "USR2", "to": to})], finalization_wait=1
    )
    until(lambda: len(list(program.sandbox.glob("up.*"))) == 3)
    assert program.done("kill", program.id).returncode == 0
    assert run.wait() == 143
    assert {path.suffix[1:] for path in program.sandbox.glob("got.*")} == reached


def test_what_does_not_stop_in_its_own_time_is_killed_while_the_task_has_more(program: Program) -> None:
    deaf = process("deaf", 'trap "" TERM; touch up; while :; do sleep 0.05; done', stop={"timeout": "300ms"})
    run = program.begin([deaf, finalizer()], finalization_wait=1000)
    until(lambda: (program.sandbox / "up").exists())
    assert program.done("kill", program.id).returncode == 0
    assert run.wait() == 143
    term, kill = (x for x in program.records() if isinstance(x, r.Signalled))
    assert (term.signal, kill.signal) == (15, 9)
    assert 0.3 <= kill.at - term.at < 30
    assert program.ran() == ["last 0"]


def test_a_command_stops_a_process_in_its_sandbox_with_its_environment(program: Program) -> None:
    main = 'trap "" TERM; trap "exit 0" USR1; echo $$ > pid; while :; do sleep 0.01; done'
    command = 'echo "stopping $A $THERMOS_PROCESS $THERMOS_PID $(id -un)"; kill -USR1 $THERMOS_PID'
    run = program.begin([process(cmdline=main, env={"A": "a"}, stop={"command": command})], user="nobody")
    until(lambda: (program.sandbox / "pid").exists() and (program.sandbox / "pid").read_text())
    pid = (program.sandbox / "pid").read_text().strip()
    assert program.done("kill", program.id).returncode == 0
    assert run.wait() == 143
    assert program.log("p") == f"stopping a p {pid} nobody\n"
    assert program.exits("p") == [(0, None, "waited")]


def test_a_stop_command_that_hangs_or_is_missing_does_not_keep_the_task(program: Program) -> None:
    wait = "exec sleep 1000"
    hangs = process("hangs", "touch up1; " + wait, stop={"command": wait, "timeout": 0.3})
    missing = process("missing", "touch up2; " + wait, stop={"command": "exec /no/such", "timeout": 2})
    run = program.begin([hangs, missing])
    until(lambda: len(list(program.sandbox.glob("up?"))) == 2)
    assert program.done("kill", program.id).returncode == 0
    assert run.wait() == 143
    assert [program.exits(name) for name in ("hangs", "missing")] == [[(None, "SIGKILL", "waited")]] * 2
    assert "/no/such" in program.log("missing", stream="stderr")


# -- how its ends are taken


def test_codes_that_are_a_success_are_one(program: Program) -> None:
    assert ran(program, process(cmdline="exit 17", success_codes=[0, "16-18"])) == 0
    assert ran_again(program, process(cmdline="exit 0", success_codes=[3])) == 1


def ran_again(program: Program, *processes: dict[str, Any]) -> int:
    program.id += "-again"
    return ran(program, *processes)


def test_a_rule_restarts_on_its_own_account_and_another_ends_it_at_once(program: Program) -> None:
    restart = [
        {"on": {"code": "70-79"}, "backoff": {"initial": 0.05}, "budget": 2},
        {"on": {"code": 3}, "action": "fail"},
    ]
    busy = process("busy", RAN + "exit 75", restart=restart, max_failures=5)
    fatal = process("fatal", RAN + "exit 3", restart=restart, max_failures=5)
    assert ran(program, busy, fatal, max_failures=0) == 0
    assert sorted(program.ran()) == ["busy 0", "busy 1", "busy 2", "fatal 0"]
    at = [x.at for x in program.records() if isinstance(x, r.Launched) and x.process == 0]
    assert at[1] - at[0] >= 0.05
    assert at[2] - at[1] >= 0.1


def test_a_rule_about_memory_and_signals_sees_what_the_kernel_did(program: Program) -> None:
    eat = "exec python3 -c 'x = bytearray(200 << 20)'"
    rules = [{"on": {"oom": True}, "budget": 1}, {"on": {"signal": ["KILL", "TERM"]}, "action": "fail"}]
    limits = {"ram": "64MiB"}
    eats = process("eats", RAN + eat, restart=rules, resources=limits, max_failures=9)
    dies = process("dies", RAN + "kill -TERM $$", restart=rules)
    assert ran(program, eats, dies, max_failures=0) == 0
    assert sorted(program.ran()) == ["dies 0", "eats 0", "eats 1"]


def test_what_was_spent_of_a_budget_survives_the_supervisor(program: Program) -> None:
    rule = {"on": {"code": 75}, "backoff": {"initial": 0}, "budget": 2}
    busy = process("busy", RAN + AWAIT.format("go$THERMOS_RUN") + "exit 75", restart=rule)
    run = program.begin([busy])
    for number in range(3):
        until(lambda number=number: len(program.ran()) == number + 1)
        program.kill(program.supervisor())
        program.touch(f"go{number}")
    assert run.wait() == 1
    assert program.ran() == ["busy 0", "busy 1", "busy 2"]


def test_what_is_said_of_a_process_is_kept_in_the_task(program: Program) -> None:
    assert ran(program, process(stop={"signal": "INT", "timeout": "2s"}, success_codes=0)) == 0
    (kept,) = json.loads((program.directory / "task.json").read_text())["task"]["processes"]
    assert kept["stop"] == {"signal": 2, "timeout": 2.0}
    assert kept["success_codes"] == [[0, 0]]
