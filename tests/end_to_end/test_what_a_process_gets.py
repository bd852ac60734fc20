"""What a process finds when it starts: who it is, where it is, its environment, its logs; nothing of its caller's."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from real_program import Program


def said(program: Program, process: dict[str, Any], *words: str, **fields: Any) -> str:
    """What one process says that is run to its good end."""
    run = program.begin([{"name": "p", **process}], *words, **fields)
    assert run.wait() == 0, run.stderr and run.stderr.read()
    return program.log("p")


def within_reach(program: Program) -> None:
    """Let other users come as far as the program's root: pytest's directories are for their owner alone."""
    for directory in (program.base, *program.base.parents):
        if directory.stat().st_uid == 0:
            directory.chmod(directory.stat().st_mode | 0o011)


# -- what runs, and where


def test_hello_world_is_all_there_is_in_its_log(program: Program) -> None:
    """PR-1."""
    assert said(program, {"cmdline": "echo hello world"}) == "hello world\n"
    assert program.log("p", stream="stderr") == ""
    assert program.exits("p") == [(0, None, "waited")]


def test_a_command_line_is_an_argument_of_bash(program: Program) -> None:
    cmdline = '[[ $0 == /bin/bash ]] && tr "\\0" "\\n" < /proc/$$/cmdline'
    assert said(program, {"cmdline": cmdline}) == f"/bin/bash\n-c\n{cmdline}\n"


def test_a_list_of_arguments_is_executed_as_it_is(program: Program) -> None:
    assert said(program, {"argv": ["echo", "$HOME", "a b", "*", ""]}) == "$HOME a b * \n"


def test_it_leads_a_session_and_a_group_of_its_own_without_a_terminal(program: Program) -> None:
    pid, group, session, terminal = said(program, {"cmdline": "ps -o pid=,pgid=,sid=,tty= -p $$"}).split()
    assert pid == group == session
    assert terminal == "?"


@pytest.mark.parametrize("mode", ["strict", "none"])
def test_its_directory_is_the_sandbox(program: Program, mode: str) -> None:
    assert said(program, {"cmdline": "pwd -P"}, "--isolation", mode) == f"{program.sandbox}\n"


def test_its_directory_is_the_one_asked_for(program: Program) -> None:
    """Each task has a sandbox of its own unless it is given one (decision 10)."""
    elsewhere = program.base / "elsewhere"
    run = program.begin([{"name": "p", "cmdline": "pwd -P; echo $HOME"}], "--sandbox", str(elsewhere))
    assert run.wait() == 0
    assert (elsewhere / ".logs/p/0/stdout").read_text() == f"{elsewhere}\n{elsewhere}\n"
    assert not program.sandbox.exists()


# -- the environment


def variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def own_variables(program: Program) -> dict[str, str]:
    """Those that every process of a task of the test's own user has."""
    return {
        "HOME": str(program.sandbox),
        "LOGNAME": "root",
        "USER": "root",
        "PATH": os.environ["PATH"],
        "THERMOS_TASK_ID": program.id,
        "THERMOS_SANDBOX": str(program.sandbox),
        "THERMOS_PROCESS": "p",
        "THERMOS_RUN": "0",
    }


@pytest.mark.root
def test_its_environment_is_exactly_this(program: Program) -> None:
    """PR-8, without the caller's: PATH alone is taken from there."""
    program.environment |= {"TEST": "1", "PATH": f"/opt/own/bin:{os.environ['PATH']}", "BASH_ENV": "/no/such/file"}
    found = variables(said(program, {"argv": ["/usr/bin/env"]}, env={"MINE": "a b"}))
    assert found == own_variables(program) | {"MINE": "a b", "PATH": program.environment["PATH"]}


@pytest.mark.root
def test_it_has_its_callers_environment_where_that_is_asked_for_but_its_own_comes_first(program: Program) -> None:
    """PR-8."""
    program.environment |= {"TEST": "1", "HOME": "/somewhere", "USER": "somebody", "THERMOS_RUN": "7"}
    found = variables(said(program, {"argv": ["/usr/bin/env"]}, "--preserve-env"))
    assert found == program.environment | own_variables(program)


def test_bash_adds_three_names(program: Program) -> None:
    found = variables(said(program, {"cmdline": "/usr/bin/env"}))
    assert found.keys() - own_variables(program).keys() == {"PWD", "SHLVL", "_"}


def test_each_port_is_a_variable_and_a_template(program: Program) -> None:
    process = {"cmdline": "echo $THERMOS_PORT_HTTP_ADMIN {{thermos.ports[http-admin]}} $X $THERMOS_PORT_X"}
    text = said(program, process, "--port", "http-admin=8123", env={"X": "{{thermos.ports[x]}}"})
    given = program.status()["ports"]
    assert given["http-admin"] == 8123
    assert text == f"8123 8123 {given['x']} {given['x']}\n"


def test_a_profile_is_read_by_each_bash_that_starts_after_it_was_written(program: Program) -> None:
    """Not by one that was there before, and not where there is none."""
    processes: list[dict[str, Any]] = [
        {
            "name": "before",
            "cmdline": "echo ${BASH_ENV-none}; echo 'GREETING=hello; export GREETING' > .thermos_profile",
        },
        {"name": "after", "cmdline": "echo $GREETING", "after": ["before"]},
        {"name": "script", "argv": ["/bin/bash", "-c", "echo $GREETING $BASH_ENV"], "after": ["before"]},
        {"name": "no-bash", "argv": ["/bin/sh", "-c", "echo x$GREETING"], "after": ["before"]},
    ]
    assert program.begin(processes).wait() == 0
    assert program.log("before") == "none\n"
    assert program.log("after") == "hello\n"
    assert program.log("script") == f"hello {program.sandbox}/.thermos_profile\n"
    assert program.log("no-bash") == "x\n"


@pytest.mark.root
def test_a_profile_that_the_tasks_user_wrote_is_not_read_by_processes_of_others(program: Program) -> None:
    say = "echo ${BASH_ENV:+read}"
    processes: list[dict[str, Any]] = [
        {"name": "before", "cmdline": "echo 'id -u >> readers' > .thermos_profile"},
        {"name": "own", "cmdline": say, "after": ["before"]},
        {"name": "roots", "cmdline": say, "after": ["before"], "user": "root"},
    ]
    assert program.begin(processes, user="nobody").wait() == 0
    assert (program.sandbox / "readers").read_text() == "65534\n"
    assert (program.log("own"), program.log("roots")) == ("read\n", "\n")


# -- what it does not get, and the little that it inherits


def test_its_callers_signal_dispositions_mask_umask_and_standard_input_are_not_its_own(program: Program) -> None:
    """Decision 9. Thermos left SIGINT, SIGPIPE and SIGXFSZ ignored, and umask and standard input as they were."""

    def hostile() -> None:
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.umask(0o077)

    look = "umask; readlink /proc/self/fd/0; exec grep -E '^Sig(Blk|Ign):' /proc/self/status"
    file = program.write([{"name": "p", "cmdline": look}])
    assert program.done("run", file, "--task-id", program.id, preexec_fn=hostile).returncode == 0
    umask, stdin, *masks = program.log("p").splitlines()
    assert (umask, stdin) == ("0022", "/dev/null")
    assert [mask.split()[1] for mask in masks] == ["0" * 16] * 2


def test_its_callers_nice_value_and_limits_are_its_own(program: Program) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)

    def careful() -> None:
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))

    file = program.write([{"name": "p", "cmdline": "nice; ulimit -Sc; ulimit -Sn; ulimit -Hn"}])
    assert program.done("run", file, "--task-id", program.id, preexec_fn=careful).returncode == 0
    assert program.log("p").split() == [str(os.nice(0) + 3), "0", "200", "300"]


@pytest.mark.parametrize("words", [(), ("--detach",)])
def test_what_its_caller_has_open_cannot_be_written_to(program: Program, words: tuple[str, ...]) -> None:
    """PR-5."""
    reader, writer = os.pipe()
    try:
        process = {"name": "p", "cmdline": f"echo secret >&{writer}", "max_failures": 1}
        run = program.begin([process], *words, pass_fds=(writer,))
        run.wait()
        assert program.done("wait", program.id).returncode == 1
        assert f"{writer}: Bad file descriptor" in program.log("p", stream="stderr")
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
    finally:
        os.close(reader)
        os.close(writer)


# -- whose it is


@pytest.mark.root
@pytest.mark.parametrize("asked", ["in the file", "on the command line"])
def test_it_is_the_user_asked_for_in_every_respect(program: Program, asked: str) -> None:
    """PR-3."""
    within_reach(program)
    words, fields = (("--user", "nobody"), {}) if asked == "on the command line" else ((), {"user": "nobody"})
    look = 'id -un; id -gn; id -G; echo $USER $LOGNAME; echo $HOME; grep -E "^(U|G)id" /proc/self/status; touch made'
    user, group, groups, names, home, uids, gids = said(program, {"cmdline": look}, *words, **fields).splitlines()
    assert (user, group, names, home) == ("nobody", "nogroup", "nobody nobody", str(program.sandbox))
    assert set(map(int, groups.split())) == set(os.getgrouplist("nobody", 65534))
    assert uids.split()[1:] == gids.split()[1:] == ["65534"] * 4
    assert (program.sandbox / "made").stat().st_uid == 65534


@pytest.mark.root
@pytest.mark.parametrize(("user", "uid"), [("root", 0), ("nobody", 65534)])
def test_its_logs_belong_to_its_user_and_others_may_read_them(program: Program, user: str, uid: int) -> None:
    """PR-3 and PR-4."""
    within_reach(program)
    said(program, {"cmdline": "echo out; echo err >&2"}, "--user", user)
    directory = program.sandbox / ".logs/p/0"
    assert [at.stat().st_uid for at in (directory.parent.parent, directory.parent, directory)] == [uid] * 3
    assert oct(directory.stat().st_mode & 0o777) == "0o755"
    files = sorted(directory.iterdir())
    assert [file.name for file in files] == ["stderr", "stdout"]
    assert [(file.stat().st_uid, oct(file.stat().st_mode & 0o777)) for file in files] == [(uid, "0o644")] * 2


# -- its logs


def test_both_logs_are_complete(program: Program) -> None:
    """PR-6, and PR-9 for the destination that there is: files."""
    lines = "for n in $(seq 31); do echo out $n; echo err $n >&2; done"
    assert said(program, {"cmdline": lines}) == "".join(f"out {n}\n" for n in range(1, 32))
    assert program.log("p", stream="stderr") == "".join(f"err {n}\n" for n in range(1, 32))


def test_nothing_that_a_killed_process_had_written_is_missing(program: Program) -> None:
    process = {"cmdline": "echo $THERMOS_RUN; [ $THERMOS_RUN = 1 ] || kill -KILL $$", "min_duration": 0}
    assert said(program, process) == "0\n"
    assert program.log("p", 1) == "1\n"
    assert program.exits("p") == [(None, "SIGKILL", "waited"), (0, None, "waited")]


def test_each_run_has_logs_of_its_own_however_strange_its_name(program: Program) -> None:
    name = "a b%s {} é"
    process = {"name": name, "cmdline": "echo $THERMOS_PROCESS $THERMOS_RUN; exit $((1 - THERMOS_RUN))"}
    assert program.begin([{**process, "max_failures": 2, "min_duration": 0}]).wait() == 0
    logs = Path(program.sandbox, ".logs", name)
    assert sorted(directory.name for directory in logs.iterdir()) == ["0", "1"]
    assert [program.log(name, run) for run in (0, 1)] == [f"{name} 0\n", f"{name} 1\n"]
