"""Times, durations and records as people read them, and records as programs do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from thermos.core import records as r
from thermos.core.fold import Exit
from thermos.core.records import Record
from thermos.core.status import describe, signal_name
from thermos.core.task import Task


def local_time(at: float, timespec: str = "seconds") -> str:
    """Seconds since the epoch as ISO 8601 in local time."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec=timespec)


def duration(seconds: float) -> str:
    """Short, with two units at most: 0.4s, 12s, 3m12s, 5h03m, 2d4h."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def print_json(value: object) -> None:
    """A value on stdout, indented."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def record_as_json(seq: int, record: Record, task: Task) -> bytes:
    """One line for programs: the record as it is in the journal, with `seq`, and `name` of its process."""
    line: dict[str, object] = {"seq": seq, **msgspec.to_builtins(record, enc_hook=list)}
    if isinstance(number := line.get("process"), int):
        line["name"] = _name(task, number)
    return msgspec.json.encode(line) + b"\n"


def record_in_words(record: Record, task: Task) -> str:
    """What a record says, with the names of processes."""
    match record:
        case r.Supervised():
            return f"supervisor {record.pid} took charge"
        case r.Sandboxed():
            got = "".join(f"; {what}: {how}" for what, how in record.got.items())
            missing = "".join(f"; no {what}: {why}" for what, why in record.missing.items())
            return f"the sandbox is ready{got}{missing}"
        case r.StageEntered():
            return f"the task is {record.stage}: {record.reason}"
        case r.KillRequested():
            patience = "" if record.wait is None else f", within {duration(record.wait)}"
            return f"{record.by} asked to kill the task{', at once' if record.force else patience}"
        case r.DiskPressure():
            return f"nothing new is started: {record.why}" if record.why else "there is room again"
        case r.Paused():
            return f"{record.by} paused the task: everything of it stands still"
        case r.Unpaused():
            return f"the task goes on, by {record.by}"
        case r.UpdateRequested():
            return f"{record.by} asked for other limits of {_whose(task, record.process)}: {_said(record.limits)}"
        case r.Updated():
            rows = "; ".join(f"{row.what}: {row.got or f'unchanged: {row.why_not}'}" for row in record.rows)
            return f"limits of {_whose(task, record.process)} are changed: {rows}"
        case r.Exceeded():
            return f"the task has to end: {record.why}"
        case r.Compacted():
            return f"all records before this one were folded into it: {record.fold.seq} since the task began"
        case _:
            return f"{_name(task, record.process)}/{record.run} {_of_a_run(record)}"


def _whose(task: Task, process: int | None) -> str:
    return "the task" if process is None else _name(task, process)


def _said(limits: dict[str, Any]) -> str:
    return ", ".join(f"{name} {'without limit' if value is None else value}" for name, value in limits.items())


def _of_a_run(
    record: r.Launched
    | r.Started
    | r.Refused
    | r.Exited
    | r.Emptied
    | r.Signalled
    | r.Abandoned
    | r.Checked
    | r.Matched,
) -> str:
    match record:
        case r.Launched():
            return "is to be started"
        case r.Started():
            return f"runs as pid {record.pid}"
        case r.Refused():
            return f"did not start: cannot {record.step}: {record.message}"
        case r.Exited():
            return _exit_in_words(record)
        case r.Emptied():
            return "is empty: the last of its processes is gone"
        case r.Signalled():
            return f"is to get {signal_name(record.signal)}"
        case r.Checked():
            return "passed a health check" if record.ok else f"failed a health check: {record.why}"
        case r.Matched():
            return f"wrote a line that matches {record.pattern!r}"
        case r.Abandoned():
            return "did not die of SIGKILL and is left behind"


def _exit_in_words(record: r.Exited) -> str:
    exit = Exit(record.source, record.code, record.signal, record.core, record.oom, why=record.why)
    seen = "" if record.source in ("waited", "unknown") else f" (seen by: {record.source})"
    lingers = "; other processes of it still live" if record.lingers else ""
    return f"ended: {describe(exit)}{seen}{lingers}"


def _name(task: Task, number: int) -> str:
    return task.processes[number].name if 0 <= number < len(task.processes) else f"process {number}"
