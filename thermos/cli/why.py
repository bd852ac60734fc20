"""`thermos why`: why a task or a process is as it is."""

from __future__ import annotations

import difflib
import time
from typing import Any

import msgspec

from thermos import paths
from thermos.checkpoint import journal, tasks
from thermos.config.wording import printable
from thermos.core import why
from thermos.core.evolve import evolve
from thermos.core.records import Compacted, Record
from thermos.core.state import State, initial
from thermos.core.task import Accepted

from .kind import JSON, TASK_ID, Argument, Cannot
from .words import local_time, print_json, record_as_json, record_in_words

HELP = """Say why a task, or one process of it, is as it is.

What it waits for, why it ended or will not run again, why it does not stop: each line further in says why the one
above it is so. Below stand the records of the journal that led there, newest first.
"""

ARGUMENTS = (TASK_ID, Argument("process", "The name of a process (default: the task itself).", required=False))

OPTIONS = (JSON,)


def run(given: dict[str, Any]) -> int:
    root, task_id, name = given["root"], given["task_id"], given["process"]
    accepted = tasks.read_accepted(root, task_id)
    number = None if name is None else _number(accepted, name)
    state, records = _read(root, accepted)
    steps = why.why(state, number, time.time(), records)
    in_charge = state.ended or tasks.supervised(root, task_id)
    if not in_charge:
        text = f"nobody is in charge of the task, so nothing goes on: thermos resume {task_id}"
        steps = (why.Step(text), *steps)
    led = _led_to(steps, records)
    if given["json"]:
        print_json(
            {
                "task_id": task_id,
                "process": name,
                "steps": [{"text": s.text, "depth": s.depth, "seq": s.seq or None, "at": s.at} for s in steps],
                "records": [msgspec.json.decode(record_as_json(seq, records[seq], state.task)) for seq in led],
            }
        )
        return 0
    for step in steps:
        at = f"  ({local_time(step.at)})" if step.at is not None else ""
        print(f"{'  ' * step.depth}{printable(step.text)}{at}")
    if led:
        print("\nwhat led to it:")
    for seq in led:
        record = records[seq]
        cause = f"  (because of {record.cause})" if record.cause else ""
        words = printable(record_in_words(record, state.task))
        print(f"{seq:>6}  {local_time(record.at, 'milliseconds')}  {words}{cause}")
    return 0


def _number(accepted: Accepted, name: str) -> int:
    names = [process.name for process in accepted.task.processes]
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, 3)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; it has {', '.join(names[:10])}"
    raise Cannot(f"cannot find process {name} in task {accepted.task_id}{hint}")


def _read(root: str, accepted: Accepted) -> tuple[State, dict[int, Record]]:
    """The state, and the records that the journal still holds one by one."""
    state = initial(accepted.task)
    records: dict[int, Record] = {}
    try:
        for record in journal.read(f"{paths.task_dir(root, accepted.task_id)}/{paths.JOURNAL}"):
            evolve(state, record)
            if not isinstance(record, Compacted):
                records[state.seq] = record
    except FileNotFoundError:
        pass  # nobody has taken charge yet
    return state, records


def _led_to(steps: tuple[why.Step, ...], records: dict[int, Record]) -> list[int]:
    """The record behind the deepest step of which there is one, and its causes: that is where it all began."""
    rooted = [step for step in steps if step.seq in records]
    if not rooted:
        return []
    deepest = max(rooted, key=lambda step: (step.depth, step.seq))
    return why.chain(records, deepest.seq)
