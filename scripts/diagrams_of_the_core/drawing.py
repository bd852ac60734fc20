"""Two diagrams in Mermaid's language: the arrows from the tables of moves, the words on them from lives lived."""

from __future__ import annotations

import errno
import signal
from collections import defaultdict
from collections.abc import Iterable, Sequence

from thermos.core.fold import Run
from thermos.core.records import Exited, Record, Refused, StageEntered
from thermos.core.state import RUN_MOVES, STAGE_MOVES, State

from .lives import lives, small_tasks

#: (from, to) -> record's name -> what about it makes the move
Words = dict[tuple[str | None, str | None], dict[str, set[str]]]

TEXT = """\
The stages of a task. Every arrow is a record `stage` of the journal, with the reasons such a record has; one without
words is allowed, and nothing decides on it.

{stages}

One run of a process, and the records that make each move. A process that is to run again waits for its next run.

{runs}
"""


def drawn() -> str:
    """The text between the markers in the README."""
    stages: Words = defaultdict(lambda: defaultdict(set))
    runs: Words = defaultdict(lambda: defaultdict(set))
    for task in small_tasks():
        for before, record, after in lives(task):
            if before.stage != after.stage:
                reason = record.reason if isinstance(record, StageEntered) else type(record).__name__
                stages[before.stage, after.stage][reason]  # an entry, with nothing more to say
            for number in range(len(task.processes)):
                _note_move(runs, before, record, after, number)
    return TEXT.format(
        stages=_diagram(STAGE_MOVES.items(), stages),
        runs=_diagram([(None, ("WAITING",)), *RUN_MOVES.items()], runs),
    )


def _note_move(words: Words, before: State, record: Record, after: State, number: int) -> None:
    """Remember what the record did to the newest run of a process, if anything."""
    old, new = before.processes[number].run, after.processes[number].run
    if new is None:
        return
    begun = old is None or old.number != new.number
    was = "WAITING" if begun or old is None else old.state
    if was != new.state:
        words[was, new.state][str(record.__struct_config__.tag)] |= _details(record, old)


def _details(record: Record, run: Run | None) -> set[str]:
    match record:
        case Exited():
            return {_how(record, run)}
        case Refused():
            return {errno.errorcode[record.errno]}
        case _:
            return set()


def _how(record: Exited, run: Run | None) -> str:
    if record.signal is None:
        return "unseen" if record.code is None else f"code {record.code}"
    asked = run is not None and run.signalled == record.signal
    return "out of memory" if record.oom and not asked else signal.Signals(record.signal).name


def _diagram(moves: Iterable[tuple[str | None, Sequence[str]]], words: Words) -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    for state, following in moves:
        for to in following:
            label = ", or<br>".join(
                name + (f" ({', '.join(sorted(details))})" if details else "")
                for name, details in sorted(words[state, to].items())
            )
            lines.append(f"    {state or '[*]'} --> {to}" + (f" : {label}" if label else ""))
        if not following:
            lines.append(f"    {state} --> [*]")
    return "\n".join([*lines, "```"])
