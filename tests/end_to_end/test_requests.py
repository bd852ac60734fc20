"""Requests to a running task: who may make them, and what cannot be understood harms nobody."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program

from thermos import paths
from thermos.core import records as r
from thermos.runtime import control


@pytest.fixture
def running(program: Program) -> Iterator[Program]:
    """A task with one process that waits for a file."""
    run = program.begin([{"name": "first", "cmdline": RAN + AWAIT.format("go")}], "--isolation", "none")
    until(lambda: program.ran() == ["first 0"], "it did not start")
    until(program.started)
    yield program
    program.touch("go")
    assert run.wait() in (0, 143)


def raw(program: Program, request: bytes) -> dict[str, Any]:
    fd, path = paths.control_address(str(program.directory))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(60)
        connection.connect(path)
        os.close(fd)
        connection.send(request)
        answer: dict[str, Any] = json.loads(connection.recv(1 << 16))
        return answer


def ask(program: Program, **request: Any) -> dict[str, Any]:
    return control.request(str(program.directory), request)


def test_a_command_waits_for_a_supervisor_that_is_being_restarted(running: Program) -> None:
    keeper, supervisor = running.keeper(), running.supervisor()
    os.kill(keeper, signal.SIGSTOP)  # it starts nobody yet
    try:
        running.kill(supervisor)
        command = running.start("signal", running.id, "first", "URG")
        until(lambda: waits(command.pid), "it does not wait")
    finally:
        os.kill(keeper, signal.SIGCONT)
    _, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (0, "")


def waits(pid: int) -> bool:
    """Whether it looks at the task's directory until something happens there."""
    try:
        return any("inotify" in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


@pytest.mark.parametrize(
    "request_",
    [
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"request": "dance"}',
        b'{"request": "signal"}',
        b'{"request": "signal", "process": "first", "signal": "x"}',
        b'{"request": "kill", "wait": "soon"}',
        b"[" * 60000,
    ],
)
def test_a_request_without_sense_is_refused_and_changes_nothing(running: Program, request_: bytes) -> None:
    before = running.records()
    assert raw(running, request_) == {"ok": False, "why": "cannot understand the request"}
    assert running.records() == before
    assert running.status()["supervised"]


@pytest.mark.parametrize("number", [-1, 65, 99, 1 << 40])
def test_a_signal_that_there_is_not_is_refused(running: Program, number: int) -> None:
    keeper = running.keeper()
    assert ask(running, request="signal", process="first", signal=number) == {
        "ok": False,
        "why": f"there is no signal {number}",
    }
    assert ask(running, request="signal", process="other", signal=1)["why"] == "the task has no process other"
    assert running.keeper() == keeper


def test_who_goes_away_without_asking_or_listening_harms_nobody(running: Program) -> None:
    for words in (b"", b'{"request": "dance"}'):
        fd, path = paths.control_address(str(running.directory))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(path)
            os.close(fd)
            if words:
                connection.send(words)
    assert ask(running, request="dance")["ok"] is False


def test_who_never_asks_keeps_nobody_waiting(running: Program) -> None:
    fd, path = paths.control_address(str(running.directory))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(path)
        os.close(fd)
        assert ask(running, request="dance")["ok"] is False


@pytest.mark.root
def test_another_user_may_not(running: Program) -> None:
    """Neither through the directory's permissions nor past them."""
    connected = _as_nobody(running, force=False)
    assert connected in ("PermissionError", "user 65534 may not: the task belongs to user 0")
    assert _as_nobody(running, force=True) == "user 65534 may not: the task belongs to user 0"
    assert not any(isinstance(record, r.KillRequested) for record in running.records())


def _as_nobody(program: Program, force: bool) -> str:
    """What another user is told who asks for a kill; `force`: the way to the socket is open to all."""
    if force:
        (program.directory / paths.CONTROL).chmod(0o777)
    fd, path = paths.control_address(str(program.directory))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                # By its descriptor: the directories above may be closed to it.
                os.fchdir(fd)
                connection.connect(paths.CONTROL)
                connection.send(b'{"request": "kill"}')
                os.write(writer, json.loads(connection.recv(1 << 16))["why"].encode())
        except OSError as error:
            os.write(writer, type(error).__name__.encode())
        finally:
            sys.stdout = None  # type: ignore[assignment]
            os._exit(0)
    os.close(writer)
    os.close(fd)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return told.read() or path
