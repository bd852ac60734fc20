"""Who started a task disappears: killed, its terminal gone, nobody reading what `run` says. The task goes on."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program

from thermos.core import records as r

pytestmark = pytest.mark.root

PROCESSES: list[dict[str, Any]] = [
    {"name": "first", "cmdline": RAN + AWAIT.format("go-first") + "exit 3"},
    {"name": "second", "cmdline": RAN, "after": ["first"]},
    {"name": "last", "cmdline": RAN, "final": True},
]


def goes_on(program: Program) -> None:
    """The task runs to its end, nobody asked it to end, and nothing of it is left."""
    until(lambda: program.ran() == ["first 0"], "the first process did not go on")
    program.touch("go-first")
    assert program.done("wait", program.id).returncode == 1
    assert program.ran() == ["first 0", "last 0"]
    assert program.exits("first") == [(3, None, "waited")]
    assert not any(isinstance(record, r.KillRequested) for record in program.records())
    until(lambda: not program.alive(), "the keeper did not end")


def words(program: Program) -> list[str]:
    return program._command(("run", program.write(PROCESSES), "--task-id", program.id))


def running(program: Program) -> bool:
    return program.ran() == ["first 0"] and program.started() is not None


def test_an_agent_that_is_killed(program: Program) -> None:
    agent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *words(program)],
        env=program.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: running(program), "the task did not start")
    agent.kill()
    agent.wait()
    goes_on(program)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_terminal_that_hangs_up(program: Program, more: list[str]) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        command = [*words(program), *more]
        os.execve(command[0], command, program.environment)
    until(lambda: running(program), "the task did not start")
    os.close(terminal)  # the kernel sends SIGHUP to the session, and every write fails from now on
    goes_on(program)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nobody_who_reads_what_run_says(program: Program, more: list[str]) -> None:
    readers, writers = zip(os.pipe(), os.pipe(), strict=True)
    run = program.start(*words(program)[1:-2], *more, stdout=writers[0], stderr=writers[1])
    for fd in (*readers, *writers):
        os.close(fd)
    until(lambda: running(program), "the task did not start")
    goes_on(program)
    assert run.wait() == 1


def test_a_full_pipe_that_nobody_reads_holds_nobody_up(program: Program) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    run = program.start(*words(program)[1:-2], stdout=writer, stderr=writer)
    until(lambda: running(program), "the task did not start")
    os.close(reader)
    os.close(writer)
    goes_on(program)
    assert run.wait() == 1


def test_who_has_closed_its_standard_descriptors_gives_their_numbers_to_no_other_file(program: Program) -> None:
    """Else the lock would be 0, the journal 2, and what is said on standard error would be written to it."""
    command = ["/bin/sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *words(program)]
    run = subprocess.Popen(command, env=program.environment)
    until(lambda: running(program), "the task did not start")
    for pid in (program.keeper(), program.supervisor()):
        assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    goes_on(program)
    assert run.wait() == 1
