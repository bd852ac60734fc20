"""What a run has written: the end of its stdout or stderr."""

from __future__ import annotations

import os
import re
from io import FileIO

from observer import files
from thermos import paths

from . import task as task_page
from .kind import Asked, NotFound, Page, Snapshot, Values
from .process import find

#: Bytes of a log that a page shows; the rest is behind its link.
SHOWN = 256 << 10
_STREAMS = ("stdout", "stderr")
#: Colours and cursor movements of terminals (ECMA-48 control sequences).
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def view(snapshot: Snapshot, asked: Asked) -> Values:
    task = task_page.in_full(snapshot, snapshot.task(asked))
    values: Values = {"task": task, "process": find(task, asked["process"]), "stream": asked["stream"]}
    try:
        file = open_log(snapshot, asked)
    except files.Refused as refused:
        return {**values, "run": int(asked["run"]), "text": "", "start": 0, "end": 0, "problem": str(refused)}
    with file:
        end = files.size_of(file)
        data = os.pread(file.fileno(), SHOWN, max(0, end - SHOWN))
    start = end - len(data)
    if start > 0:  # begin with a whole line
        cut = data.find(b"\n") + 1
        data, start = data[cut:], start + cut
    text = _ESCAPES.sub("", data.decode("utf-8", "replace"))
    return {**values, "run": int(asked["run"]), "text": text, "start": start, "end": end, "problem": None}


def open_log(snapshot: Snapshot, asked: Asked) -> FileIO:
    """The log file `stream` of one `run` of a `process`. Raises NotFound and files.Refused."""
    task = snapshot.task(asked)
    status = task.status
    if status is None:
        raise NotFound(task.error)
    process = next((process for process in status.processes if process.name == asked["process"]), None)
    if process is None:
        raise NotFound(f"cannot find process {asked['process']}: task {task.task_id} has none of that name")
    if asked["stream"] not in _STREAMS:
        raise NotFound(f"cannot find the log {asked['stream']}: it is {' or '.join(_STREAMS)}")
    run = asked["run"]
    if not (run.isascii() and run.isdigit() and len(run) < 10 and int(run) < process.launches):
        runs = f"{process.launches} so far, counted from 0" if process.launches else "none so far"
        raise NotFound(f"cannot find run {run} of process {process.name}: there were {runs}")
    path = f"{paths.log_dir('', process.name, int(run))}/{asked['stream']}"
    return files.open_inside(status.sandbox, path.lstrip("/"))


PAGE = Page("/logs/{task_id}/{process}/{run}/{stream}", "logs.html", view)
