"""Supervisor and keeper are both dead when a process ends: an observer that lives knows how, and nobody guesses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import DEADLINE, until
from real_program import (
    AWAIT,
    RAN,
    REPOSITORY,
    Program,
    _python_for_all,  # pyright: ignore[reportPrivateUsage]
)

from thermos import paths

pytestmark = pytest.mark.root

#: Older kernels do not tell the status of a reaped process.
KNOWN = "pidfd" if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15) else "unknown"
Observe = Callable[..., int]


@pytest.fixture
def observe() -> Iterator[Observe]:
    """Starts observers of a program's root; they are gone before the proof that nothing is left."""
    observers: list[subprocess.Popen[str]] = []

    def begin(program: Program) -> int:
        """The pid of one that has read what there is."""
        identity: dict[str, Any] = (
            {"user": program.uid, "group": program.uid, "extra_groups": []} if program.uid else {}
        )
        packages = [path for path in sys.path if path.endswith("-packages")]
        code = f"import sys; sys.path[:0] = {[str(REPOSITORY), *packages]}; from observer.server import main; main()"
        python = _python_for_all() if program.uid else sys.executable
        command = [python, "-c", code, "--root", str(program.root), "--listen", "127.0.0.1:0"]
        observer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **identity)
        observers.append(observer)
        assert observer.stdout
        assert observer.stdout.readline().startswith("observing ")
        return observer.pid

    yield begin
    for observer in observers:
        observer.send_signal(signal.SIGCONT)
        observer.terminate()
        observer.communicate(timeout=DEADLINE)


def holds(observer: int, pid: int) -> bool:
    """Whether a process has a pidfd of another one."""
    for entry in Path(f"/proc/{observer}/fdinfo").iterdir():
        try:
            if f"\nPid:\t{pid}\n" in entry.read_text():
                return True
        except OSError:
            continue
    return False


def waiting(then: str) -> str:
    """A process that stays until the file go is there; what it does next is done in its first run only."""
    return RAN + AWAIT.format("go") + f'[ "$THERMOS_RUN" = 1 ] || {then}'


def begun(program: Program, then: str, *words: str) -> int:
    """The pid of a process that runs, told by the journal."""
    program.begin([{"name": "first", "cmdline": waiting(then)}], *words)
    return pid_of(program)


def pid_of(program: Program, process: int = 0) -> int:
    def pid() -> int:
        started = program.started(process)
        return started.pid if started else 0

    return until(pid, f"process {process} did not start")


def bereave(program: Program, pid: int) -> None:
    """Kill all that could wait for a process, and have it end and be reaped."""
    program.kill(program.keeper(), program.supervisor())
    program.touch("go")
    # A zombie would tell its status itself.
    until(lambda: not Path(f"/proc/{pid}").exists(), "nobody reaped first")


def test_the_observer_knows_how_a_process_ended(program: Program, observe: Observe) -> None:
    observer = observe(program)
    first = begun(program, "exit 7")
    until(lambda: holds(observer, first), "the observer does not hold first")
    bereave(program, first)
    resumed = program.done("resume", program.id)
    if KNOWN == "pidfd":
        assert program.exits("first") == [(7, None, "pidfd")]
        assert resumed.returncode == 1
        assert program.runs()["first"][0]["state"] == "FAILED"
        assert program.ran() == ["first 0"]
    else:
        assert program.exits("first") == [(None, None, "unknown"), (0, None, "waited")]
    until(lambda: not holds(observer, first))


@pytest.mark.skipif(KNOWN != "pidfd", reason="the kernel does not tell")
def test_it_knows_a_success_and_a_death_by_a_signal(program: Program, observe: Observe) -> None:
    observer = observe(program)
    processes = [
        {"name": "first", "cmdline": RAN + AWAIT.format("go")},
        {"name": "second", "cmdline": RAN + AWAIT.format("go") + "kill -SEGV $$"},
    ]
    program.begin(processes)
    first, second = pid_of(program, 0), pid_of(program, 1)
    until(lambda: holds(observer, first) and holds(observer, second), "the observer does not hold both")
    bereave(program, first)
    until(lambda: not Path(f"/proc/{second}").exists(), "nobody reaped second")
    assert program.done("resume", program.id).returncode == 1
    assert program.exits("first") == [(0, None, "pidfd")]
    assert program.exits("second") == [(None, "SIGSEGV", "pidfd")]
    assert sorted(program.ran()) == ["first 0", "second 0"]


def test_one_that_came_when_supervisor_and_keeper_were_dead_knows_too(program: Program, observe: Observe) -> None:
    first = begun(program, "exit 7")
    program.kill(program.keeper(), program.supervisor())
    observer = observe(program)
    assert holds(observer, first)
    program.touch("go")
    until(lambda: not Path(f"/proc/{first}").exists(), "nobody reaped first")
    program.done("resume", program.id)
    assert program.exits("first")[0] == ((7, None, "pidfd") if KNOWN == "pidfd" else (None, None, "unknown"))


def lost(program: Program) -> None:
    """The first run is LOST, does not count, and was tried again."""
    assert program.done("resume", program.id).returncode == 0
    assert program.exits("first") == [(None, None, "unknown"), (0, None, "waited")]
    assert [run["state"] for run in program.runs()["first"]] == ["LOST", "SUCCESS"]
    assert program.ran() == ["first 0", "first 1"]


def test_without_an_observer_nothing_is_made_up(program: Program) -> None:
    bereave(program, begun(program, "exit 7"))
    lost(program)


def test_with_one_that_came_too_late_nothing_is_made_up(program: Program, observe: Observe) -> None:
    first = begun(program, "exit 7")
    bereave(program, first)
    observe(program)
    lost(program)


def test_with_one_that_was_killed_nothing_is_made_up(program: Program, observe: Observe) -> None:
    observer = observe(program)
    first = begun(program, "exit 7")
    until(lambda: holds(observer, first), "the observer does not hold first")
    bereave(program, first)
    program.kill(observer)
    lost(program)
    (left,) = program.root.glob(f"{paths.WITNESS}*")
    left.unlink()  # the next observer with something to hold would


def test_one_that_hangs_does_not_hold_up_a_resume(program: Program, observe: Observe) -> None:
    observer = observe(program)
    first = begun(program, "exit 7")
    until(lambda: holds(observer, first), "the observer does not hold first")
    bereave(program, first)
    os.kill(observer, signal.SIGSTOP)
    lost(program)


@pytest.mark.skipif(KNOWN != "pidfd", reason="the kernel does not tell")
def test_a_plain_user_has_an_observer_of_his_own(nobody: Program, observe: Observe) -> None:
    observer = observe(nobody)
    first = begun(nobody, "exit 7", "--isolation", "best-effort")
    until(lambda: holds(observer, first), "the observer does not hold first")
    bereave(nobody, first)
    assert nobody.done("resume", nobody.id).returncode == 1
    assert nobody.exits("first") == [(7, None, "pidfd")]


def test_an_observer_that_may_only_read_is_of_no_help_and_no_harm(program: Program, observe: Observe) -> None:
    """It follows tasks of another user."""
    for directory in (program.base, *program.base.parents):
        if directory.stat().st_uid == os.geteuid() and not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o011)
    first = begun(program, "exit 7")
    program.uid = 65534
    try:
        observer = observe(program)
    finally:
        program.uid = 0
    assert not holds(observer, first)
    bereave(program, first)
    lost(program)
