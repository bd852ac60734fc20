"""Task directories as a supervisor leaves them, and the real command to look at them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thermos import paths
from thermos.checkpoint import lock
from thermos.checkpoint.writing import Writer
from thermos.cli import main
from thermos.core import records as r
from thermos.core.records import Record
from thermos.core.task import Accepted, Isolation, Process, Resources, Task

#: Longer than anything here takes; reached only where something hangs.
DEADLINE = 30.0


def process(name: str, **changes: Any) -> Process:
    usual = Process(
        name=name,
        cmdline="true",
        argv=None,
        max_failures=1,
        daemon=False,
        ephemeral=False,
        min_duration=5,
        final=False,
        after=(),
    )
    return msgspec.structs.replace(usual, **changes)


class Made:
    """One task on disk, and its supervisor's part in it."""

    def __init__(self, root: Path, task_id: str, processes: tuple[Process, ...]) -> None:
        self.id = task_id
        self.directory = Path(paths.task_dir(str(root), task_id))
        self.sandbox = self.directory / paths.SANDBOX
        self.sandbox.mkdir(parents=True)
        task = Task("hello", processes, 1, 0, 30.0, None, Resources(), {})
        self.accepted = Accepted(
            task_id=task_id,
            created_at=1764000000.5,
            task=task,
            sandbox=str(self.sandbox),
            user="nobody",
            uid=65534,
            gid=65534,
            groups=(),
            ports={"http": 31001},
            instance=0,
            isolation_mode="strict",
            isolation=(
                Isolation("memory", "256 MiB", "256 MiB (cgroup v1)"),
                Isolation("disk", "1 GiB", None, "no quota here"),
            ),
            cgroups={},
            env={},
        )
        (self.directory / paths.ACCEPTED).write_bytes(msgspec.json.encode(self.accepted))
        self.journal = self.directory / paths.JOURNAL
        self._writer: Writer | None = None
        self._lock: int | None = None

    def write(self, *records: Record) -> None:
        """Append records as one frame."""
        if self._writer is None:
            self._writer = Writer(str(self.journal))
        self._writer.append(records)

    def activate(self) -> None:
        self.write(
            r.Supervised(at=1764000001.0, boot_id="b", pid=7, epoch=0.0),
            r.StageEntered(at=1764000001.0, cause=1, stage="ACTIVE", reason="the task was accepted"),
        )

    def start(self, number: int, run: int = 0, pid: int = 4242) -> None:
        self.write(r.Launched(at=1764000002.0, cause=2, process=number, run=run))
        self.write(r.Started(at=1764000002.5, process=number, run=run, pid=pid, ticks=1))

    def exit(self, number: int, run: int = 0, **how: Any) -> None:
        how = how or {"code": 0}
        self.write(r.Exited(at=1764000010.5, process=number, run=run, source="waited", **how))

    def end(self, result: r.Result = "SUCCESS", reason: str = "every process has finished") -> None:
        for stage in ("CLEANING", "FINALIZING", result):
            self.write(r.StageEntered(at=1764000020.5, stage=stage, reason=reason, result=result))

    def log(self, number: int, run: int, stream: str, data: bytes) -> Path:
        """Append to a log."""
        path = Path(paths.log_dir(str(self.sandbox), self.accepted.task.processes[number].name, run)) / stream
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
        return path

    def take_charge(self) -> None:
        self._lock = os.open(self.directory / paths.LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        assert lock.take(self._lock)

    def let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def close(self) -> None:
        self.let_go()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Listener:
    """A supervisor's control socket: keeps the requests, and answers each by what `answer` returns."""

    def __init__(self, task: Made, answer: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        self.requests: list[dict[str, Any]] = []
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(task.directory / paths.CONTROL))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.requests.append(json.loads(connection.recv(1 << 16)))
                answer = self._answer(self.requests[-1])
                if answer is not None:
                    connection.send(json.dumps(answer).encode())

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        self._socket.close()


class Cli:
    """Tasks under one root, and `thermos` on that root."""

    def __init__(self, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capfd = capfd
        self._made: list[Made | Listener] = []
        self._started: list[tuple[subprocess.Popen[str], threading.Timer]] = []

    def task(self, task_id: str = "hello-1", *processes: str | Process) -> Made:
        definitions = tuple(process(p) if isinstance(p, str) else p for p in processes or ("web",))
        made = Made(self.root, task_id, definitions)
        self._made.append(made)
        return made

    def listen(self, task: Made, answer: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Listener:
        listener = Listener(task, answer)
        self._made.append(listener)
        return listener

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr, in this process."""
        self._capfd.readouterr()
        status = main([*words, "--root", str(self.root)])
        out, err = self._capfd.readouterr()
        return status, out, err

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The same in a process of its own, for what blocks: killed at the deadline, so that no read of it hangs."""
        program = "import sys; from thermos.cli import main; sys.exit(main())"
        child = subprocess.Popen(
            [sys.executable, "-c", program, *words, "--root", str(self.root)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        timer = threading.Timer(DEADLINE, child.kill)
        timer.daemon = True
        timer.start()
        self._started.append((child, timer))
        return child

    def close(self) -> None:
        for child, timer in self._started:
            timer.cancel()
            child.kill()
            child.communicate()
        for made in self._made:
            made.close()
