"""The program as its users have it: started with a task file, looked at through its own commands and /proc."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from deadline import DEADLINE, until
from host_mounts import mounts

from sandbox.cgroups import tree
from thermos import paths
from thermos.checkpoint import journal
from thermos.core import records as r
from thermos.core.state import ENDED
from thermos.runtime.identity import ticks

REPOSITORY = Path(__file__).parents[2]

#: Says in a file of the sandbox that this run of this process was executed.
RAN = 'echo "$THERMOS_PROCESS $THERMOS_RUN" >> ran; '

#: Stays until a file of this name is in the sandbox.
AWAIT = "while [ ! -e {} ]; do sleep 0.01; done; "


class Started(subprocess.Popen[str]):
    """A command that was started; nobody waits for it without end."""

    def wait(self, timeout: float | None = None) -> int:
        return super().wait(2 * DEADLINE if timeout is None else timeout)


class Program:
    """The program with a root of its own. `uid`: who uses it."""

    def __init__(self, base: Path, uid: int = 0) -> None:
        self.base = base
        self.root = base / "root"
        self.uid = uid
        self.id = f"test-{os.getpid()}-{base.name}"[:100]
        self.pauses: set[tuple[int, int]] = set()
        self.running: list[Started] = []
        # What it starts inherits this, and is found by it.
        self.environment = {**os.environ, "THERMOS_TESTED": str(base)}
        if uid:
            base.chmod(0o755)
            self.root = base / "own/root"
            self.root.parent.mkdir()
            os.chown(self.root.parent, uid, uid)
            self.environment |= {"HOME": str(self.root.parent)}

    # -- commands

    def _command(self, words: tuple[str, ...]) -> list[str]:
        program = [str(Path(sys.executable).with_name("thermos"))]
        if self.uid:
            packages = [path for path in sys.path if path.endswith("-packages")]
            code = (
                f"import sys; sys.path[:0] = {[str(REPOSITORY), *packages]}; "
                "from thermos.cli import main; sys.exit(main())"
            )
            program = [_python_for_all(), "-c", code]
        return [*program, *words, "--root", str(self.root)]

    def start(self, *words: str, **how: Any) -> Started:
        identity: dict[str, Any] = {"user": self.uid, "group": self.uid, "extra_groups": []} if self.uid else {}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        process = Started(self._command(words), text=True, env=self.environment, **identity, **{**streams, **how})
        self.running.append(process)
        return process

    def done(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        process = self.start(*words, **how)
        out, err = process.communicate(timeout=2 * DEADLINE)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def write(self, processes: list[dict[str, Any]], **fields: Any) -> str:
        """A task file, and its path."""
        path = self.base / "task.json"
        path.write_text(json.dumps({"name": "t", **fields, "processes": processes}))
        path.chmod(0o644)
        return str(path)

    def begin(
        self,
        processes: list[dict[str, Any]],
        *words: str,
        pass_fds: tuple[int, ...] = (),
        umask: int = -1,
        **fields: Any,
    ) -> Started:
        """`run` of a task of these processes under the id `self.id`."""
        words = ("run", self.write(processes, **fields), "--task-id", self.id, *words)
        return self.start(*words, pass_fds=pass_fds, umask=umask)

    # -- what is there

    @property
    def directory(self) -> Path:
        return self.root / "tasks" / self.id

    @property
    def sandbox(self) -> Path:
        return self.directory / "sandbox"

    def touch(self, name: str) -> None:
        (self.sandbox / name).touch()

    def ran(self) -> list[str]:
        """NAME RUN of every execution, in order."""
        try:
            return (self.sandbox / "ran").read_text().splitlines()
        except FileNotFoundError:
            return []

    def log(self, process: str, run: int = 0, stream: str = "stdout") -> str:
        return (self.sandbox / ".logs" / process / str(run) / stream).read_text()

    def records(self) -> list[r.Record]:
        try:
            records = list(journal.read(str(self.directory / "journal")))
        except FileNotFoundError:
            return []
        for record in records:
            if isinstance(record, r.Sandboxed) and record.init is not None:
                self.pauses.add((record.init, ticks(record.init) or 0))
        return records

    def status(self) -> dict[str, Any]:
        done = self.done("status", "--json", self.id)
        (task,) = json.loads(done.stdout)
        self.records()
        return dict(task)

    def runs(self) -> dict[str, list[dict[str, Any]]]:
        """Every process's runs, as `status` shows them."""
        return {process["name"]: process["runs"] for process in self.status()["processes"]}

    def exits(self, process: str) -> list[tuple[int | None, str | None, str]]:
        """(code, signal, source) of a process's runs."""
        return [(run["exit"]["code"], run["exit"]["signal"], run["exit"]["source"]) for run in self.runs()[process]]

    def started(self, process: int = 0, run: int = 0) -> r.Started | None:
        for record in self.records():
            if isinstance(record, r.Started) and (record.process, record.run) == (process, run):
                return record
        return None

    # -- who is there

    def alive(self) -> dict[int, str]:
        """Every process that this program started, directly or not: pid -> command line."""
        mark = os.fsencode(str(self.base))
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes() or mark in (entry / "cmdline").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # gone meanwhile
        return found

    def _part(self, name: str) -> int:
        """The pid of the oldest, or 0. Not a child of it: until that executes something, it looks the same."""
        found = {pid for pid, command in self.alive().items() if f"thermos.runtime.{name}" in command}
        return min(
            (pid for pid in found if parent(pid) not in found), key=lambda pid: (ticks(pid) or 0, pid), default=0
        )

    def keeper(self) -> int:
        return until(lambda: self._part("keeper"), "there is no keeper")

    def supervisor(self) -> int:
        return until(lambda: self._part("supervisor"), "there is no supervisor")

    def in_charge(self) -> int:
        """The supervisor, once it has said so."""
        return until(lambda: next((x.pid for x in self.records() if isinstance(x, r.Supervised)), 0))

    def kill(self, *pids: int) -> None:
        """SIGKILL to all of them before one of them can do anything about another's end; returns when they are dead."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            until(lambda pid=pid: gone(pid), f"{pid} did not die")

    # -- the end

    def end_all(self) -> None:
        """End what a failed test has left, so that the next one finds a clean host."""
        if any(isinstance(x, r.StageEntered) and x.stage in ENDED for x in self.records()):
            self._let_it_go()
        self.failed_to_end = [process.args for process in self.running if process.poll() is None]
        if self.failed_to_end or (self.root / "tasks").is_dir():
            for task in (self.root / "tasks").glob("[!.]*"):
                if (task / "task.json").exists() and self._part("keeper"):
                    self.failed_to_end.append(task.name)
                    self.done("kill", "--now", task.name)
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def _let_it_go(self) -> None:
        """A task's end is written before its keeper has gone."""
        last = time.monotonic() + DEADLINE
        while time.monotonic() < last and (self._part("keeper") or any(x.poll() is None for x in self.running)):
            time.sleep(0.003)


# -- a task, what came of it, and what it got


def process(cmdline: str, name: str = "p", **fields: Any) -> dict[str, Any]:
    """One that is tried again without waiting."""
    return {"name": name, "cmdline": cmdline, "min_duration": 0, **fields}


def ran(program: Program, *processes: dict[str, Any], **task: Any) -> int:
    """The exit status of `run`."""
    return program.begin(list(processes), **task).wait()


def rows(program: Program) -> dict[str, dict[str, Any]]:
    """Asked versus got, by what it is about."""
    return {row["what"]: row for row in program.status()["isolation"]}


# -- this host


def _python_for_all() -> str:
    """A Python that every user may execute; the virtual environment's may be under somebody's home."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        ask = [python, "-c", "import sys; print(sys.version_info[:2])"]
        try:
            said = subprocess.run(ask, user=65534, group=65534, extra_groups=[], capture_output=True, text=True)
        except OSError:
            continue
        if said.stdout.strip() == str(sys.version_info[:2]):
            return python
    pytest.skip("needs a Python of this version that a plain user may execute")


def parent(pid: int) -> int:
    """0 where it has gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def gone(pid: int) -> bool:
    """Whether a process is dead, if not yet reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def groups(program: Program) -> list[str]:
    """Every group of this program's tasks that there is."""
    patterns = (f"thermos/*{program.id}*", f"thermos.*{program.id}*")
    own = [Path(directory) for directory in set(tree.own().values())]
    return [str(found) for directory in own for pattern in patterns for found in directory.glob(pattern)]


def networks(program: Program) -> list[str]:
    """Addresses that this program's tasks hold."""
    leases = Path(paths.NETWORKS)
    found = leases.iterdir() if leases.is_dir() else ()
    return [str(lease) for lease in found if lease.is_symlink() and program.id in os.readlink(lease)]


def leftovers(program: Program, mounts_before: list[str]) -> None:
    """Fails where something of the tasks of a program outlives them, other than their directories."""
    assert not program.failed_to_end, program.failed_to_end
    until(lambda: not program.alive(), f"processes are left: {program.alive()}")
    program.records()
    # Not at once where init has to reap what the kernel then ended in the namespace: it may be seconds late.
    until(lambda: all(ticks(pid) != began or gone(pid) for pid, began in program.pauses), f"{program.pauses} are left")
    assert not groups(program), groups(program)
    mounted = [mount for mount in mounts(program.base) if mount not in mounts_before]
    assert not mounted, mounted
    if program.root.is_dir():
        left = [path for path in program.root.rglob("*") if path.is_socket() or path.parent.name == "ports"]
        left += (program.root / "tasks").glob(".*")
        left += program.root.rglob("*.new")
        assert not left, left
