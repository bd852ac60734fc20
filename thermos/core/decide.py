"""What a state still lacks: `decide(state, now) -> Ready`.

Level-triggered: it looks at the state and not at what happened last, so a supervisor that starts again with a
replayed journal decides what the one before it would have decided. Nothing here scans all processes, except
once, to say why a task is stuck.

The task ends in steps, each a stage of its own. ACTIVE runs the regular plan. CLEANING stops what still runs:
each run's stop signal once, SIGKILL when its share of the budget is over. FINALIZING runs the final plan with
what is left of the budget. Then comes the result. Half of the budget belongs to the stragglers where there are
finalizers, so that those always get their turn, and all of it where there are none.

A stop waits for a run that is being started, and stops it then: a signal sent earlier would be lost. What is left
of a run when its main process has ended by itself is the keeper's to kill, at once and unasked; only its patience is
here. What is left of one that was asked to stop was asked too, and has time until the SIGKILL.

While a task is paused nothing is decided, but that its end thaws it: what stands still cannot stop.
"""

from __future__ import annotations

import signal
from collections.abc import Container, Iterable
from heapq import heappop, heappush, merge
from itertools import chain, islice

import msgspec

from .effects import Effect, End, Freeze, Launch, Limit, Signal, Thaw
from .fold import Result
from .records import (
    Abandoned,
    Exited,
    Launched,
    Paused,
    Record,
    Signalled,
    StageEntered,
    Unpaused,
    UpdateRequested,
)
from .state import State

#: Seconds a run, or what its main process left behind, may take to die of SIGKILL before the task goes on without
#: it (a process in an uninterruptible sleep cannot be killed at all, and every task must end).
PATIENCE = 10.0


class Ready(msgspec.Struct, frozen=True):
    """What to do next. `records` must be in the journal before any effect of theirs is carried out."""

    records: tuple[Record, ...] = ()
    wake_at: float | None = None  # look again then, if nothing happens before


def decide(state: State, now: float) -> Ready:
    """The records the state lacks at time `now`. Empty once there is nothing to do but wait."""
    if state.paused_at:
        return _standing_still(state, now)
    deaf, patience_ends = _deaf(state, now)
    if deaf:
        return Ready(deaf)
    if state.overdue:
        at, number, _ = state.overdue[0]
        if at <= now:
            asked = state.processes[number].run
            assert asked is not None
            return Ready(tuple(_stops(state, (number,), signal.SIGKILL, now, asked.signalled_by)))
        patience_ends = _earliest(patience_ends, at)
    ready = _decide(state, now)
    return ready if ready.records else Ready(wake_at=_earliest(ready.wake_at, patience_ends))


def _standing_still(state: State, now: float) -> Ready:
    if state.stage == "ACTIVE" and state.kill_at is None and not state.exceeded:
        return Ready()
    cause, by = (state.kill_by, "the kill") if state.kill_at is not None else (state.exceeded_by, "the task's end")
    return Ready((Unpaused(at=now, cause=cause, by=by),))


def _decide(state: State, now: float) -> Ready:
    match state.stage:
        case None:
            return Ready((StageEntered(at=now, stage="ACTIVE", reason="the task was accepted"),))
        case "ACTIVE":
            return _active(state, now)
        case "CLEANING":
            return _cleaning(state, now)
        case "FINALIZING":
            return _finalizing(state, now)
        case _:
            return Ready()


def effect_of(record: Record, seq: int) -> Effect | None:
    """What carrying out a decision means; None for a record that only states a fact."""
    match record:
        case Launched():
            return Launch(record.process, record.run, seq)
        case Signalled():
            return Signal(record.process, record.run, record.signal, seq, record.stop)
        case Paused():
            return Freeze(seq)
        case Unpaused():
            return Thaw(seq)
        case UpdateRequested():
            return Limit(record.limits, record.process, seq)
        case StageEntered(stage="SUCCESS" | "FAILED" | "KILLED" | "LOST"):
            return End(seq)
        case _:
            return None


def outstanding(state: State) -> tuple[Effect, ...]:
    """Every effect that may not have been carried out yet, for a supervisor that has just replayed a journal."""
    if state.ended:
        return (End(state.stage_by),)
    effects: list[Effect] = []
    for number in chain(state.forked, state.stopping, state.killing, state.spared, state.lingering):
        run = state.processes[number].run
        assert run is not None
        if run.state == "FORKED":
            effects.append(Launch(number, run.number, run.launched_by))
        if run.signalled is not None:
            effects.append(Signal(number, run.number, run.signalled, run.signalled_by))
    if state.paused_by:
        effects.append(Freeze(state.paused_by) if state.paused_at else Thaw(state.paused_by))
    if state.asked is not None:
        number, limits, cause = state.asked
        effects.append(Limit(limits, None if number < 0 else number, cause))
    return tuple(effects)


def reconcile(state: State, known: Container[tuple[int, int]], boot_id: str, now: float) -> tuple[Exited, ...]:
    """The runs that nobody knows any more, for a supervisor that has just heard what the keeper knows.

    `known` holds (process, run) for every run the keeper has started. A run that was RUNNING and is not among them
    is LOST. One that was only FORKED never started, and is asked for again (see `outstanding`), except after a
    reboot: then it may have run, and what it did is not known. Ask before the new Supervised record is folded in:
    the state's boot id must be that of the supervisor before.
    """
    rebooted = state.boot_id not in ("", boot_id)
    why = "the host was rebooted" if rebooted else "its keeper died, and nobody saw the end"
    lost: list[Exited] = []
    for number in chain(state.forked, state.running, state.stopping, state.killing):
        run = state.processes[number].run
        assert run is not None
        if (number, run.number) not in known and (rebooted or run.state == "RUNNING"):
            lost.append(Exited(at=now, process=number, run=run.number, source="unknown", why=why))
    return tuple(lost)


def expected(state: State, launched: Launched) -> tuple[int, int] | None:
    """The run that will be wanted the moment the one just launched ends well: (process, run), or None.

    Worth having ready: for what only waits for a free slot, what only waits for this process, and what follows itself.
    """
    number = launched.process
    definition = state.task.processes[number]
    ready = state.ready[definition.final]
    if ready:
        return ready[0], state.processes[ready[0]].launches
    if definition.daemon:
        return (number, launched.run + 1) if definition.min_duration == 0 else None
    for follower in state.graph.followers[number]:
        if state.processes[follower].unmet == 1:
            return follower, state.processes[follower].launches
    return None


def _active(state: State, now: float) -> Ready:
    plan = state.plans[False]
    limit = state.task.max_failures
    if state.kill_at is not None:
        return _clean(now, "KILLED", "a kill was requested", state.kill_by)
    if state.exceeded:
        return _clean(now, "FAILED", state.exceeded, state.exceeded_by)
    if limit and plan.failed >= limit:
        return _clean(now, "FAILED", _too_many(state), _quiet_by(state))
    if plan.left == 0:
        reason = "every process has finished" + (" or failed for good" if plan.failed else "")
        return _clean(now, "SUCCESS", reason, _quiet_by(state))
    if plan.moving == 0:
        return _clean(now, "FAILED", _why_stuck(state), _quiet_by(state))
    if state.sick:
        return Ready(_unhealthy(state, now))
    if state.disk_pressure:
        return Ready()  # what runs goes on; finalizers may run even so: they may be what makes room
    return _launches(state, now, False)


def _clean(now: float, result: Result, reason: str, cause: int) -> Ready:
    return Ready((StageEntered(at=now, cause=cause, stage="CLEANING", reason=reason, result=result),))


def _cleaning(state: State, now: float) -> Ready:
    if not state.busy:
        reason = "nothing runs any more"
        return Ready((StageEntered(at=now, cause=_quiet_by(state), stage="FINALIZING", reason=reason),))
    if state.running and not state.forced:
        return Ready(tuple(_stops(state, state.running, None, now)))
    begun, budget, kill = _budget(state)
    return _end_by(state, now, begun + (budget / 2 if state.plans[True].left else budget), kill)


def _finalizing(state: State, now: float) -> Ready:
    plan = state.plans[True]
    begun, budget, kill = _budget(state)
    deadline = now if state.forced else begun + budget
    if now < deadline and plan.left and plan.moving:
        if state.sick:
            return Ready(_unhealthy(state, now))
        launches = _launches(state, now, True)
        return Ready(launches.records, _earliest(launches.wake_at, deadline))
    if state.busy:
        if now < deadline and state.running:  # ephemeral finalizers, when the others are done
            return Ready(tuple(_stops(state, state.running, None, now)))
        return _end_by(state, now, deadline, kill)
    result: Result = "KILLED" if state.kill_at is not None else state.result or "FAILED"
    reason = "a kill was requested" if state.kill_at is not None else _reason_of_cleaning(state)
    return Ready((StageEntered(at=now, cause=_quiet_by(state), stage=result, reason=reason, result=result),))


def _quiet_by(state: State) -> int:
    """The record since which things are as they are: the end of a run, or the stage the task is in."""
    return max(state.over_by, state.stage_by)


def _reason_of_cleaning(state: State) -> str:
    return next((reason for stage, _, reason in reversed(state.stages) if stage == "CLEANING"), state.reason)


def _budget(state: State) -> tuple[float, float, int]:
    """When the end began, how many seconds it may take, and the record that says so."""
    if state.kill_at is not None:
        wait = state.kill_wait
        return state.kill_at, state.task.finalization_wait if wait is None else wait, state.kill_by
    cleaning = next(at for stage, at, _ in reversed(state.stages) if stage == "CLEANING")
    return cleaning, state.task.finalization_wait, state.stage_by


def _end_by(state: State, now: float, deadline: float, cause: int) -> Ready:
    """SIGKILL to whatever lives at `deadline`."""
    if now < deadline and not state.forced:
        return Ready(wake_at=deadline)
    alive = chain(state.forked, state.running, state.stopping, state.spared)
    return Ready(tuple(_stops(state, alive, signal.SIGKILL, now, state.forced_by or cause)))


def _deaf(state: State, now: float) -> tuple[tuple[Abandoned, ...], float | None]:
    """What outlived SIGKILL for too long, and when the next one will have. Both sets are in the order of time.

    A supervisor killed before it could send the signal left that to the next one, with which patience begins again.
    """
    deaf: list[Abandoned] = []
    patience_ends: float | None = None
    for numbers in (state.killing, state.lingering):
        for number in numbers:
            run = state.processes[number].run
            assert run is not None
            since = max(run.ended_at or 0.0, run.signalled_at, state.supervised_at)
            if now < since + PATIENCE:
                patience_ends = _earliest(patience_ends, since + PATIENCE)
                break
            deaf.append(Abandoned(at=now, cause=run.signalled_by, process=number, run=run.number))
    return tuple(deaf), patience_ends


def _unhealthy(state: State, now: float) -> tuple[Signalled, ...]:
    """A stop for each run whose health check has failed."""
    return tuple(stop for number, cause in state.sick.items() for stop in _stops(state, (number,), None, now, cause))


def _stops(state: State, numbers: Iterable[int], signo: int | None, now: float, cause: int = 0) -> Iterable[Signalled]:
    """Decisions to send a signal; None: what each process wants to be stopped by."""
    for number in numbers:
        run = state.processes[number].run
        assert run is not None
        chosen = int(state.task.processes[number].stop.signal if signo is None else signo)
        yield Signalled(at=now, cause=cause or state.stage_by, process=number, run=run.number, signal=chosen)


def _launches(state: State, now: float, final: bool) -> Ready:
    ready, due = state.ready[final], state.due[final]
    limit = state.task.max_concurrency
    room = max(limit - state.busy, 0) if limit else len(ready) + len(due)
    # Who has been runnable longest goes first, else those that never pause would keep the others out for ever.
    runnable = merge(islice(ready, room), _due(due, now, room), key=lambda number: state.processes[number].not_before)
    numbers = list(islice(runnable, room))
    records = tuple(
        Launched(
            at=now,
            cause=state.processes[number].ready_by or state.stage_by,
            process=number,
            run=state.processes[number].launches,
        )
        for number in numbers
    )
    # With no room left only an exit can make some, and that wakes us anyway.
    return Ready(records, due[0][0] if due and not records and room else None)


def _due(heap: list[tuple[float, int]], now: float, most: int) -> list[int]:
    """The first `most` numbers of a heap whose time has come, in order, at a cost that does not grow with the rest."""
    numbers: list[int] = []
    seen = [(heap[0], 0)] if heap else []
    while seen and len(numbers) < most and seen[0][0][0] <= now:
        (_, number), place = heappop(seen)
        numbers.append(number)
        for child in (2 * place + 1, 2 * place + 2):
            if child < len(heap):
                heappush(seen, (heap[child], child))
    return numbers


def _too_many(state: State) -> str:
    """Which processes have failed, as many as may not. Ephemeral ones that failed are finished."""
    pairs = zip(state.processes, state.task.processes, strict=True)
    failed = [definition.name for process, definition in pairs if process.status == "failed" and not definition.final]
    word = "process" if len(failed) == 1 else "processes"
    limit = state.task.max_failures
    return f"{len(failed)} {word} failed for good, the limit is {limit}: {', '.join(failed[:_NAMED])}"


#: Names in a reason, which is one line.
_NAMED = 5


def _why_stuck(state: State) -> str:
    """Which process blocks which. Of all that is blocked, what counts and is nearest to the cause."""
    definitions = state.task.processes
    for number, process in enumerate(state.processes):
        for follower in state.graph.followers[number] if process.status == "failed" else ():
            if state.processes[follower].status == "waiting" and _counts(state, follower):
                blocked, blocks = definitions[follower].name, definitions[number].name
                return f"nothing can run: {blocked} waits for {blocks}, which failed for good"
    for (number, what), followers in state.graph.awaiting.items():
        process = state.processes[number]
        if process.status not in ("finished", "failed") or what in process.reached:
            continue
        for follower in followers:
            if state.processes[follower].status == "waiting" and _counts(state, follower):
                blocked, blocks = definitions[follower].name, definitions[number].name
                ended_well = process.run is not None and process.run.state == "SUCCESS"
                over = "has finished" if ended_well else "failed for good"
                return f"nothing can run: {blocked} waits for {blocks} {_wish(what)}, and {blocks} {over}"
    return "nothing can run and the plan is not complete"


def _counts(state: State, number: int) -> bool:
    """Whether the task waits for it, if only because somebody else does that it waits for."""
    return not state.task.processes[number].ephemeral or state.processes[number].awaited > 0


def _wish(what: str) -> str:
    """A milestone as what somebody waits for."""
    pattern = what.removeprefix("log:")
    return f"to be {what}" if pattern == what else f"to log {pattern!r}"


def _earliest(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
