"""Every life of a small task: what can happen to it, in every situation it can come into.

Facts are whatever a keeper might tell; decisions are those of `decide`. Which of them are legal, and where they lead,
`evolve` says: there is no list of moves in here.
"""

from __future__ import annotations

import copy
import errno
import signal
from collections.abc import Hashable, Iterator

from thermos.core.decide import decide
from thermos.core.evolve import evolve
from thermos.core.records import Emptied, Exited, KillRequested, Record, Refused, Started
from thermos.core.state import IllegalMove, State, initial
from thermos.core.task import Process, Resources, Task

#: Seconds: more than anything in the core ever waits for.
LONG = 1e6


def small_tasks() -> Iterator[Task]:
    """One process alone; and one after another, with no limit of failures, so that the second may wait for ever."""
    for max_failures, names in ((1, ("a",)), (0, ("a", "b"))):
        processes = tuple(
            Process(name, "true", None, 1, False, False, 0.0, False, after=names[:place])
            for place, name in enumerate(names)
        )
        yield Task("small", processes, max_failures, 0, 30.0, None, Resources(), {})


def lives(task: Task) -> Iterator[tuple[State, Record, State]]:
    """(before, record, after) for every record that fits, in every situation that can be reached."""
    todo = [initial(task)]
    seen = {_situation(todo[0])}
    for before in todo:
        for record in (*_decisions(before), *_facts(before)):
            shared = {id(part): part for part in (before.task, before.graph)}
            try:
                after = evolve(copy.deepcopy(before, shared), record)
            except IllegalMove:
                continue
            yield before, record, after
            if _situation(after) not in seen:
                seen.add(_situation(after))
                todo.append(after)


def _situation(state: State) -> Hashable:
    """What decides which moves are possible: all of the state but times, causes and how often."""
    processes = tuple(
        (process.status, process.unmet, run and (run.state, run.signalled, run.lingers))
        for process in state.processes
        for run in [process.run]
    )
    return state.stage, state.result, state.kill_at is None, state.forced, processes


def _decisions(state: State) -> tuple[Record, ...]:
    """What is decided at once, or else when nothing happens for long."""
    return decide(state, state.at).records or decide(state, state.at + LONG).records


def _facts(state: State) -> Iterator[Record]:
    at = state.at
    yield KillRequested(at=at, by="somebody")
    for number, process in enumerate(state.processes):
        if process.run is None:
            continue
        run = process.run.number
        yield Started(at=at, process=number, run=run, pid=1, ticks=1)
        for error in (errno.ENOENT, errno.EMFILE):
            yield Refused(at=at, process=number, run=run, step="exec", errno=error, message="")
        yield Emptied(at=at, process=number, run=run)
        for lingers in (False, True):
            for code in (0, 1):
                yield Exited(at=at, process=number, run=run, source="waited", code=code, lingers=lingers)
            for signo, oom in ((signal.SIGSEGV, False), (signal.SIGTERM, False), (signal.SIGKILL, False), (9, True)):
                yield Exited(
                    at=at, process=number, run=run, source="waited", signal=int(signo), oom=oom, lingers=lingers
                )
            yield Exited(at=at, process=number, run=run, source="unknown", lingers=lingers)
