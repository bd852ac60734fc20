"""Tasks on disk as `thermos run` leaves them, written by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from thermos import paths
from thermos.checkpoint.writing import Writer
from thermos.core import records as r
from thermos.core.records import Record
from thermos.core.task import Accepted, Isolation, Process, Resources, Task

#: When the tasks of these tests were created.
THEN = 1_764_000_000.0


def process(name: str, **fields: Any) -> Process:
    return Process(
        **{
            "name": name,
            "cmdline": f"./{name} --serve",
            "argv": None,
            "max_failures": 1,
            "daemon": False,
            "ephemeral": False,
            "min_duration": 0.0,
            "final": False,
            "after": (),
            **fields,
        }
    )


@dataclass
class TaskOnDisk:
    """A task's directory as `thermos run` leaves it, written by hand."""

    root: str
    task_id: str
    writer: Writer

    @property
    def directory(self) -> str:
        return paths.task_dir(self.root, self.task_id)

    def append(self, *records: Record) -> None:
        self.writer.append(records)

    def log(self, process: str, run: int, stream: str, data: bytes) -> str:
        where = paths.log_dir(f"{self.directory}/{paths.SANDBOX}", process, run)
        os.makedirs(where, exist_ok=True)
        path = f"{where}/{stream}"
        with open(path, "wb") as file:
            file.write(data)
        return path


def put_task(
    root: str,
    task_id: str,
    processes: Sequence[Process] = (),
    records: Sequence[Record] = (),
    **fields: Any,
) -> TaskOnDisk:
    """Make a task under a hidden name, with a journal of `records`, and rename it into place."""
    hidden = f"{paths.tasks_dir(root)}/.{task_id}.new"
    os.makedirs(f"{hidden}/{paths.SANDBOX}")
    name = fields.pop("name", "shop")
    accepted = Accepted(
        **{
            "task_id": task_id,
            "created_at": THEN,
            "task": Task(
                name, tuple(processes) or (process("web", daemon=True),), 1, 0, 30.0, None, Resources(ram=1 << 28), {}
            ),
            "sandbox": f"{paths.task_dir(root, task_id)}/{paths.SANDBOX}",
            "user": "nobody",
            "uid": 65534,
            "gid": 65534,
            "groups": (),
            "ports": {"http": 31001},
            "instance": 0,
            "isolation_mode": "best-effort",
            "isolation": (Isolation("memory", "256 MiB", None, "memory is not delegated"),),
            "cgroups": {},
            "env": {},
            **fields,
        }
    )
    with open(f"{hidden}/{paths.ACCEPTED}", "wb") as file:
        file.write(msgspec.json.encode(accepted))
    writer = Writer(f"{hidden}/{paths.JOURNAL}")
    if records:
        writer.append(records)
    os.rename(hidden, paths.task_dir(root, task_id))
    return TaskOnDisk(root, task_id, writer)


def began(at: float = THEN) -> list[Record]:
    return [
        r.Supervised(at=at, boot_id="boot", pid=1, epoch=0.0),
        r.StageEntered(at=at, stage="ACTIVE", reason="the task was accepted"),
    ]


def launched(number: int = 0, run: int = 0, at: float = THEN + 1) -> list[Record]:
    return [
        r.Launched(at=at, process=number, run=run),
        r.Started(at=at, process=number, run=run, pid=4242 + number, ticks=1),
    ]


def exited(number: int = 0, run: int = 0, code: int = 0, at: float = THEN + 2) -> Record:
    return r.Exited(at=at, process=number, run=run, source="waited", code=code, cpu=0.5, memory=1 << 20)


def over(result: Any = "SUCCESS", at: float = THEN + 3) -> list[Record]:
    return [
        r.StageEntered(at=at, stage="CLEANING", reason="everything is done", result=result),
        r.StageEntered(at=at, stage="FINALIZING", reason="there are no finalizers"),
        r.StageEntered(at=at, stage=result, reason="everything is done"),
    ]
