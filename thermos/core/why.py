"""Why things are as they are: the causal answer to a question about a task or one of its processes. Pure.

An answer is a list of steps, from what was asked about to its root causes: each step deeper says why the one above it
is so. A step that a record of the journal has led to names it, and `chain` goes on from there, cause by cause.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain as one_after_another
from typing import Any

import msgspec

from .decide import PATIENCE
from .evolve import rule_for
from .fold import Run
from .records import Abandoned, Exited, Record, Refused
from .state import State
from .status import describe, signal_name

#: Of what is alike, so many are told one by one.
SHOWN = 5
#: Steps from what was asked about to the root cause; a graph may be deeper than anybody reads.
DEEPEST = 12


class Step(msgspec.Struct, frozen=True):
    text: str
    depth: int = 0  # how many steps led from what was asked about to this one
    seq: int = 0  # of the record that made it so; 0: none did
    at: float | None = None  # when, in seconds since the epoch
    end_of: tuple[int, int] | None = None  # the process and run whose end it speaks of


def why(state: State, number: int | None, now: float, records: Mapping[int, Record] | None = None) -> tuple[Step, ...]:
    """Why a process is as it is: what it waits for, why it ended, why it does not run again or does not stop.

    `number` None: the same of the task: why it is in its stage, what it waits for, and who holds it up. `records`,
    by their sequence numbers, is where the ends of runs are looked up: no state keeps their numbers.
    """
    steps = tuple(_task(state, now) if number is None else _process(state, number, now, 0, set()))
    if not records:
        return steps
    ends = {
        (record.process, record.run): seq
        for seq, record in records.items()
        if isinstance(record, Exited | Refused | Abandoned)
    }
    return tuple(msgspec.structs.replace(step, seq=ends.get(step.end_of, 0)) if step.end_of else step for step in steps)


def why_each(state: State, numbers: Iterable[int], now: float) -> tuple[Step, ...]:
    """The same of several processes; what one of them has told already the others do not tell again."""
    seen = set[int]()
    return tuple(step for number in numbers if number not in seen for step in _process(state, number, now, 0, seen))


def chain(records: Mapping[int, Record], seq: int) -> list[int]:
    """The records that led to one, that one first. It ends where the world began, or the journal was compacted."""
    found: list[int] = []
    while seq in records:
        found.append(seq)
        seq = records[seq].cause
    return found


def _task(state: State, now: float, depth: int = 0) -> Iterator[Step]:
    if state.stage is None:
        yield Step("the task was accepted, and nobody has taken charge of it yet", depth)
        return
    yield Step(f"the task is {state.stage}: {state.reason}", depth, state.stage_by, state.stage_at)
    if state.paused_at:
        yield Step("it is paused: everything of it stands still", depth + 1, state.paused_by, state.paused_at)
    if state.disk_pressure and not state.ended:
        yield Step(f"nothing new is started: {state.disk_pressure}", depth + 1)
    everyone = range(len(state.processes))
    failed = [number for number in everyone if state.processes[number].status == "failed"]
    if state.result == "FAILED" or (state.ended and failed):
        yield from _each(state, failed, now, depth + 1)
    enough = state.task.max_failures and state.plans[False].failed >= state.task.max_failures
    if state.result == "FAILED" and state.plans[False].left and not enough:
        stuck = [n for n in everyone if state.processes[n].status == "waiting" and state.processes[n].unmet]
        yield from _each(state, [n for n in stuck if not state.task.processes[n].final], now, depth + 1, {*failed})
    if state.ended:
        return
    if state.stage == "ACTIVE":
        left = state.plans[False].left
        yield Step(f"{_count(left, 'process is', 'processes are')} still to be done", depth + 1)
    final = state.stage == "FINALIZING"
    open_ones = [n for n in everyone if state.processes[n].status in ("live", "waiting")]
    if state.stage == "CLEANING":
        open_ones = [n for n in _alive(state) if n not in state.running]
    else:
        open_ones = [n for n in open_ones if state.task.processes[n].final == final]
    lasting = [n for n in open_ones if not state.task.processes[n].ephemeral or state.processes[n].awaited]
    yield from _each(state, lasting or open_ones, now, depth + 1, {*failed})


def _each(state: State, numbers: Iterable[int], now: float, depth: int, told: set[int] | None = None) -> Iterator[Step]:
    """The processes one by one, those first that something is under way of."""
    seen = told if told is not None else set[int]()
    chosen = sorted(numbers, key=lambda number: state.processes[number].status != "live")
    for number in chosen[:SHOWN]:
        if number not in seen:
            yield from _process(state, number, now, depth, seen)
    if len(chosen) > SHOWN:
        yield Step(f"and {len(chosen) - SHOWN} more", depth)


def _process(state: State, number: int, now: float, depth: int, seen: set[int]) -> Iterator[Step]:
    name, process = state.task.processes[number].name, state.processes[number]
    if number in seen or depth > DEEPEST:
        yield Step(f"{name}: see above" if number in seen else f"{name}: and so on", depth)
        return
    seen.add(number)
    match process.status:
        case "waiting":
            yield from _waiting(state, number, now, depth, seen)
        case "live":
            yield from _live(state, number, now, depth)
        case "skipped":
            yield from _skipped(state, number, now, depth, seen)
        case "stopped":
            yield Step(f"{name} was stopped: {_ended(process.run)}", depth, **_end(state, number))
            yield Step(f"the task is {state.stage}: {_end_reason(state)}", depth + 1, _end_by(state))
        case "failed" | "finished":
            yield from _over(state, number, depth)


def _waiting(state: State, number: int, now: float, depth: int, seen: set[int]) -> Iterator[Step]:
    definition, process = state.task.processes[number], state.processes[number]
    name = definition.name
    turn = "FINALIZING" if definition.final else "ACTIVE"
    if state.ended or (not definition.final and state.stage not in (None, "ACTIVE")):
        word = "runs no more" if process.launches else "never ran"
        if depth:
            yield Step(f"{name} {word}", depth)
        else:
            yield Step(f"{name} {word}: the task is {state.stage}: {_end_reason(state)}", depth, _end_by(state))
        if process.unmet:
            yield from _unmet(state, number, now, depth + 1, seen)
        elif process.run is not None:
            yield Step(f"its last run: {_ended(process.run)}", depth + 1, **_end(state, number))
    elif state.stage is None:
        yield Step(f"{name} waits for its task to begin", depth)
    elif process.unmet:
        if process.unmet > 1:
            yield Step(f"{name} waits for {process.unmet} things to come about", depth)
        yield from _unmet(state, number, now, depth + (process.unmet > 1), seen)
    elif state.stage != turn:
        yield Step(f"{name} is a finalizer: it runs when all that is not final has ended", depth)
    elif process.not_before > now:
        yield Step(f"{name} runs again in {_span(process.not_before - now)}", depth, process.ready_by)
        yield Step(f"its last run: {_ended(process.run)}", depth + 1, **_end(state, number))
        yield Step(_pause(state, number), depth + 1)
    elif state.paused_at:
        yield Step(f"{name} is not started: the task is paused", depth, state.paused_by)
    elif state.disk_pressure and not definition.final:
        yield Step(f"{name} is not started: {state.disk_pressure}", depth, process.ready_by)
    elif state.task.max_concurrency and state.busy >= state.task.max_concurrency:
        limit = state.task.max_concurrency
        yield Step(f"{name} waits for a place: all {limit} that max_concurrency allows are taken", depth)
        yield Step(f"by {_names(state, _alive(state))}", depth + 1)
        before = _before(state, number, now)
        yield Step(f"before it in line: {_names(state, before) if before else 'nobody'}", depth + 1)
    else:
        yield Step(f"{name} is to be started now", depth, process.ready_by)


def _unmet(state: State, number: int, now: float, depth: int, seen: set[int]) -> Iterator[Step]:
    """What a process waits for that has not come about, and why not."""
    graph, name = state.graph, state.task.processes[number].name
    wishes = [(n, "") for n in graph.waits_for[number] if state.processes[n].status != "finished"]
    wishes += [(n, what) for n, what in graph.awaits[number] if what not in state.processes[n].reached]
    for before, what in wishes[:SHOWN]:
        other, process = state.task.processes[before].name, state.processes[before]
        over = process.status in ("finished", "failed", "stopped", "skipped")
        never = ", and that comes no more" if over else ""
        yield Step(f"{name} waits for {other} {_wish(what)}{never}", depth)
        yield from _process(state, before, now, depth + 1, seen)
    if len(wishes) > SHOWN:
        yield Step(f"and for {len(wishes) - SHOWN} more", depth)


def _wish(what: str) -> str:
    pattern = what.removeprefix("log:")
    if pattern != what:
        return f"to write a line that matches {pattern!r}"
    words = {"": "to succeed", "completed": "to be over", "failed": "to fail for good"}
    return words.get(what, f"to be {what}")


def _live(state: State, number: int, now: float, depth: int) -> Iterator[Step]:
    name, process = state.task.processes[number].name, state.processes[number]
    run = process.run
    assert run is not None
    this = f"{name}/{run.number}"
    if run.lingers:
        yield Step(
            f"{this} has ended ({_ended(run)}), and processes that it left still live", depth, **_end(state, number)
        )
        if run.signalled is None:
            yield Step("they were killed, and are gone once the kernel has done that", depth + 1)
        else:
            yield from _being_stopped(state, number, run, now, depth + 1)
    elif run.signalled is not None:
        what = "was not started yet" if run.state == "FORKED" else "has not ended yet"
        yield Step(f"{this} {what}, and was told to stop", depth, run.signalled_by, run.signalled_at)
        yield from _being_stopped(state, number, run, now, depth + 1)
    elif run.state == "FORKED":
        since = _span(now - run.launched_at)
        yield Step(f"{this} was asked for {since} ago, and does not run yet", depth, run.launched_by, run.launched_at)
    else:
        since = _span(now - (run.started_at or run.launched_at))
        yield Step(f"{this} runs, for {since}", depth, run.launched_by, run.started_at)
        yield from _health(state, number, run, depth + 1)


def _health(state: State, number: int, run: Run, depth: int) -> Iterator[Step]:
    if state.task.processes[number].health is None:
        return
    checks = run.checks
    if checks is None:
        yield Step("its health has not been checked yet", depth)
    elif checks.failed:
        yield Step(f"it is unhealthy, and is to be stopped: {checks.why}", depth, state.sick.get(number, 0))
    elif checks.passed:
        yield Step("it is healthy" + (f"; the last failure was: {checks.why}" if checks.failures else ""), depth)
    else:
        tried = _count(checks.attempts, "check", "checks")
        yield Step(f"it is not healthy yet, after {tried}" + (f": {checks.why}" if checks.why else ""), depth)


def _being_stopped(state: State, number: int, run: Run, now: float, depth: int) -> Iterator[Step]:
    """Why it was asked to end, why it lives even so, and until when it is let."""
    assert run.signalled is not None
    name = signal_name(run.signalled)
    if run.unhealthy and run.checks is not None:
        yield Step(f"its health check failed: {run.checks.why}", depth, run.signalled_by)
    else:
        yield Step(f"the task is {state.stage}: {state.reason}", depth, state.stage_by, state.stage_at)
    since = _span(now - run.signalled_at)
    if run.signalled == signal.SIGKILL:
        ends = max(run.ended_at or 0.0, run.signalled_at, state.supervised_at) + PATIENCE
        text = f"{name} was sent {since} ago; if the kernel cannot end it, the task goes on without it"
        yield Step(f"{text} in {_span(ends - now)}", depth, run.signalled_by)
        return
    text = f"{name} was sent {since} ago, and it has not ended"
    ends_at = _until(state, number, run)
    after = f"; SIGKILL follows in {_span(ends_at - now)}" if ends_at is not None else ""
    yield Step(text + after, depth, run.signalled_by)


def _until(state: State, number: int, run: Run) -> float | None:
    """When SIGKILL comes."""
    own = [at for at, process, of in state.overdue if (process, of) == (number, run.number)]
    if state.kill_at is not None:
        wait = state.task.finalization_wait if state.kill_wait is None else state.kill_wait
        begun = state.kill_at
    else:
        begun, wait = next(((at, state.task.finalization_wait) for s, at, _ in state.stages if s == "CLEANING"), (0, 0))
    if state.stage == "CLEANING":
        own.append(begun + (wait / 2 if state.plans[True].left else wait))
    elif state.stage == "FINALIZING":
        own.append(begun + wait)
    return min(own, default=None)


def _skipped(state: State, number: int, now: float, depth: int, seen: set[int]) -> Iterator[Step]:
    name, process = state.task.processes[number].name, state.processes[number]
    yield Step(f"{name} was skipped: what it waits for cannot come about any more", depth, process.ready_by)
    graph = state.graph
    for before, what in one_after_another(((n, "") for n in graph.waits_for[number]), graph.awaits[number]):
        other = state.processes[before]
        if other.status == "skipped" or (what == "failed" and other.status == "finished"):
            yield Step(f"{name} waits for {state.task.processes[before].name} {_wish(what)}", depth + 1)
            yield from _process(state, before, now, depth + 2, seen)


def _over(state: State, number: int, depth: int) -> Iterator[Step]:
    definition, process = state.task.processes[number], state.processes[number]
    run, name = process.run, state.task.processes[number].name
    assert run is not None
    if run.state == "SUCCESS" and process.status == "finished":
        yield Step(f"{name} has finished: {_ended(run)}", depth, **_end(state, number))
        return
    yield Step(f"{name} failed for good: {_ended(run)}", depth, **_end(state, number))
    place = rule_for(definition.restart, run)
    if place is not None:
        rule = definition.restart[place]
        spent = process.spent.get(place, 0)
        limit = "says that it fails" if not rule.again else f"allows {rule.budget} restarts, and {spent} are spent"
        yield Step(f"its restart rule {place + 1} {limit}", depth + 1)
    else:
        counted = process.failures - process.excused
        yield Step(f"that was failure {counted} of {definition.max_failures} (max_failures)", depth + 1)
    if process.status == "finished":
        yield Step("it is ephemeral: the task does not fail with it", depth + 1)


def _pause(state: State, number: int) -> str:
    """What makes the pause before the next run."""
    definition, process = state.task.processes[number], state.processes[number]
    run = process.run
    assert run is not None
    pause = _span(process.not_before - (run.ended_at or 0.0))
    place = rule_for(definition.restart, run)
    if place is not None and definition.restart[place].backoff is not None:
        rule = definition.restart[place]
        of = f" of {rule.budget}" if rule.budget is not None else ""
        return f"its restart rule {place + 1} makes a pause of {pause}: restart {process.spent.get(place, 0)}{of}"
    row = f", and {process.streak} runs in a row went wrong" if process.streak > 1 else ""
    return f"the pause is {pause}: min_duration is {_span(definition.min_duration)}{row}"


def _end_reason(state: State) -> str:
    return next((reason for stage, _, reason in reversed(state.stages) if stage == "CLEANING"), state.reason)


def _end_by(state: State) -> int:
    """The record with which the end began, as far as the state knows one."""
    return state.kill_by or state.stage_by


def _ended(run: Run | None) -> str:
    if run is None or run.exit is None:
        return "nothing is known of it"
    asked = f", asked by {signal_name(run.signalled)}" if run.signalled is not None and not run.unhealthy else ""
    return f"run {run.number} {run.state}, {describe(run.exit)}{asked}"


def _end(state: State, number: int) -> dict[str, Any]:
    """What a step about the end of the newest run says besides."""
    run = state.processes[number].run
    return {"at": run.ended_at, "end_of": (number, run.number)} if run is not None else {}


def _alive(state: State) -> list[int]:
    sets = (state.forked, state.running, state.stopping, state.killing, state.spared, state.lingering)
    return list(one_after_another.from_iterable(sets))


def _before(state: State, number: int, now: float) -> list[int]:
    """Who gets a place before it does."""
    final = state.task.processes[number].final
    due = [other for at, other in sorted(state.due[final]) if at <= now]
    line = sorted([*state.ready[final], *due], key=lambda other: state.processes[other].not_before)
    return line[: line.index(number)] if number in line else line


def _names(state: State, numbers: list[int]) -> str:
    names = [state.task.processes[number].name for number in numbers[:SHOWN]]
    more = [f"{len(numbers) - SHOWN} more"] if len(numbers) > SHOWN else []
    return ", ".join(names + more)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _span(seconds: float) -> str:
    """Short: 0.4s, 12s, 3m12s."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f}s"
    return f"{int(seconds)}s" if seconds < 60 else f"{int(seconds) // 60}m{int(seconds) % 60:02}s"
