"""thermos: ours. Each task is foreground, has a root directory of its own, and is gone when its figure is taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import DEADLINE, Ran, run, until
from benchmarks.kind import CannotMeasure, Place
from benchmarks.processes import children, command_line, settle

THERMOS = str(Path(sys.executable).with_name("thermos"))
OBSERVER = str(Path(sys.executable).with_name("thermos-observer"))
NAME, PACKAGE = "thermos", "none: scripts/setup installs it"

#: The limits of a full sandbox. Its namespaces every task has.
LIMITS = {"cpu": 1, "ram": 256 << 20, "pids": 64}

_TASK_ID = "bench"


def write_json(path: Path, task: Mapping[str, object]) -> Path:
    path.write_text(json.dumps(task, indent=1))
    return path


def one_process(argv: Sequence[str]) -> dict[str, object]:
    return {"name": "bench", "resources": LIMITS, "processes": [{"name": "only", "argv": list(argv)}]}


def sleepers(count: int) -> dict[str, object]:
    return {
        "name": "bench",
        "processes": [{"name": f"sleep-{number}", "argv": ["sleep", "infinity"]} for number in range(count)],
    }


def run_task(file: Path, root: Path) -> tuple[Ran, dict[str, str]]:
    """Run a task to its end. Returns also what each process wrote to its standard output in its first run."""
    done = run([THERMOS, "run", str(file), "--root", str(root), "--task-id", _TASK_ID])
    logs = root / "tasks" / _TASK_ID / "sandbox" / ".logs"
    said = {path.parent.parent.name: path.read_text() for path in logs.glob("*/0/stdout")}
    _forget(root)
    return done, said


def _forget(root: Path) -> None:
    """Put an ended task out of the way. Raises CannotMeasure where one of its groups is still there.

    It is removed with the row's directory, not here: ext4 takes no inode again within 5 seconds, and looks at each of
    those before it finds another, so that what one repetition removes would slow the next one down.
    """
    directory = root / "tasks" / _TASK_ID
    groups: dict[str, str] = json.loads((directory / "task.json").read_text())["cgroups"]
    left = [group for group in groups.values() if Path(group).exists()]
    if left:
        raise CannotMeasure(f"cannot measure thermos: the task has ended and left {left[0]} behind")
    os.rename(root, root.parent / f"over-{time.time_ns()}")
    os.sync()  # a file system still busy would slow the next repetition down


@dataclass(frozen=True)
class Started:
    """A task that somebody waits for. `keeper`: the process in the foreground."""

    directory: Path
    keeper: int

    @property
    def ours(self) -> set[int]:
        """Keeper, supervisor and pause; not what the keeper has forked for runs. Raises CannotMeasure."""
        found = {self.keeper} | {
            child
            for child in children(self.keeper)
            if any(name in command_line(child) for name in ("thermos.runtime.supervisor", "thermos-pause"))
        }
        if len(found) != 3:
            raise CannotMeasure(f"cannot measure thermos: keeper, supervisor and pause should be 3, not {len(found)}")
        return found


@contextmanager
def started(task: Mapping[str, object], place: Place, name: str = "task.json") -> Generator[Started]:
    """A task that is killed and forgotten at the end of the block. Its file is JSON, which is YAML too."""
    root = place.directory / "root"
    file = write_json(place.directory / name, task)
    argv = [THERMOS, "run", str(file), "--root", str(root), "--task-id", _TASK_ID]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as foreground:
        try:
            yield Started(root / "tasks" / _TASK_ID, foreground.pid)
        finally:
            foreground.terminate()
            foreground.wait(DEADLINE)
    _forget(root)


@contextmanager
def running(task: Mapping[str, object], place: Place) -> Generator[set[int]]:
    """A task whose processes all run, until the end of the block. Gives keeper, supervisor and pause."""
    with started(task, place) as begun:
        until("every process of the task runs", lambda: _all_run(place.directory / "root"))
        ours = begun.ours
        settle(lambda: ours)
        yield ours


@contextmanager
def observing(place: Place) -> Generator[int]:
    """An observer of the same root. Gives its pid."""
    listen = f"unix:{place.directory}/observer.sock"
    argv = [OBSERVER, "--root", str(place.directory / "root"), "--listen", listen]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as observer:
        try:
            assert observer.stdout is not None
            if not observer.stdout.readline():
                raise CannotMeasure(f"cannot measure {OBSERVER}: it did not start")
            settle(lambda: {observer.pid})
            yield observer.pid
        finally:
            observer.terminate()
            observer.wait(DEADLINE)


def _status(root: Path) -> list[dict[str, Any]]:
    argv = [THERMOS, "status", "--json", "--root", str(root)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    tasks: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return tasks[0]["processes"] if tasks else []


def _all_run(root: Path) -> bool:
    processes = _status(root)
    return bool(processes) and all(process["state"] == "RUNNING" for process in processes)
