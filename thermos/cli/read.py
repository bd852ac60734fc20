"""`thermos read`: a task's journal, record by record."""

from __future__ import annotations

import os
import sys
from typing import Any

from thermos import paths
from thermos.checkpoint import codec, follow, tasks
from thermos.config.wording import printable
from thermos.core.records import Record
from thermos.core.state import ENDED
from thermos.core.task import Task

from .kind import JSON, TASK_ID, Cannot, Option
from .words import local_time, record_as_json, record_in_words

HELP = """Show a task's journal, record by record: number, time, what happened, and the record that led to it."""

ARGUMENTS = (TASK_ID,)

OPTIONS = (Option("follow", "Go on with what is written, until the task has ended.", "flag", short="f"), JSON)


def run(given: dict[str, Any]) -> int:
    root, task_id, as_json = given["root"], given["task_id"], given["json"]
    task = tasks.read_accepted(root, task_id).task
    seq, ended = _print_whole(f"{paths.task_dir(root, task_id)}/{paths.JOURNAL}", task, as_json, given["follow"])
    if given["follow"] and not ended:
        _follow(root, task_id, task, as_json, seq)
    return 0


def _print_whole(path: str, task: Task, as_json: bool, more_may_come: bool) -> tuple[int, bool]:
    """Print every whole frame; the last record's number, and whether the task has ended with it.

    Reads frame by frame, unlike journal.Reader: of a damaged journal everything before the damage is shown.
    """
    try:
        data = _bytes(path)
    except FileNotFoundError:
        if not more_may_come:
            print("the journal is not there yet: nobody has taken charge of the task", file=sys.stderr)
        return 0, False
    seq, at, ended = 0, 0, False
    try:
        at = codec.check_header(data)
        while at < len(data):
            frame, end = codec.decode(data, at)
            codec.check_follows(frame, seq, first=not seq)
            seq = frame.seq - 1
            for record in frame.records:
                seq += 1
                _print(seq, record, task, as_json)
                ended |= _ends(record)
            at = end
    except codec.Torn as torn:
        if not more_may_come:
            print(f"a torn end after record {seq}: {len(data) - at} bytes at offset {at}: {torn}", file=sys.stderr)
    except (codec.Damaged, codec.WrongVersion) as error:
        sys.stdout.flush()
        raise Cannot(f"cannot read {path} at offset {at}: {error}") from None
    return seq, ended


def _bytes(path: str) -> bytes:
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
        return file.read()


def _follow(root: str, task_id: str, task: Task, as_json: bool, seq: int) -> None:
    with follow.Follower(root, task_id) as follower:
        while True:
            records = follower.new()
            for number, record in enumerate(records, follower.seq - len(records) + 1):
                if number > seq:
                    _print(number, record, task, as_json)
            sys.stdout.flush()
            if any(map(_ends, records)):
                return
            follower.wait()


def _ends(record: Record) -> bool:
    return getattr(record, "stage", None) in ENDED


def _print(seq: int, record: Record, task: Task, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(record_as_json(seq, record, task).decode())
        return
    cause = f"  (because of {record.cause})" if record.cause else ""
    print(f"{seq:>6}  {local_time(record.at, 'milliseconds')}  {printable(record_in_words(record, task))}{cause}")
