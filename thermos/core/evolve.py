"""What each record means: `evolve(state, record) -> state`. Supervisor, observer and CLI all use this one."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Literal

from . import health
from . import records as r
from .fold import Checks, Exit, Fold, Run, RunState
from .graph import milestone
from .records import Record
from .state import KEPT_RUNS, RUN_MOVES, STAGE_MOVES, IllegalMove, State
from .task import Backoff, Rule

#: Deaths that are the program's own fault, and count as failures; by any other signal from outside a run is
#: KILLED, which does not count. (To Thermos no signal death was a failure: crashes looped for ever.)
FAULTS = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGSYS,
        signal.SIGTRAP,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    }
)

#: Seconds added to min_duration after so many runs in a row went wrong: the first retry is never put off.
BACK_OFF = (0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
#: A run that went wrong after this many seconds begins a new row.
LASTED = 60.0


def evolve(state: State, record: Record) -> State:
    """Fold one record into the state, which is used up: go on with what is returned.

    Raises IllegalMove where the record does not fit, with the state unchanged.
    """
    _MEANINGS[type(record)](state, record, state.seq + 1)
    state.seq += 1  # Compacted has set it to what it stands for
    if record.at > state.at:  # what happened while no supervisor lived is learned late
        state.at = record.at
    return state


#: Errors of a start that are the host's lack, not the program's fault: the run is LOST, and tried again.
SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def classify(
    exit: Exit, asked: int | None, success: tuple[tuple[int, int], ...] = ((0, 0),), unhealthy: bool = False
) -> RunState:
    """What an exit is called. `asked`: the stop signal we had decided on, if any; `unhealthy`: and for that reason."""
    if exit.source == "unknown":
        return "LOST"
    if unhealthy:
        return "FAILED"
    if exit.signal is not None:
        own_fault = exit.signal in FAULTS or (exit.oom and exit.signal == signal.SIGKILL)
        return "FAILED" if own_fault and exit.signal != asked else "KILLED"
    return "SUCCESS" if _within(exit.code, success) else "FAILED"


def _within(number: int | None, ranges: tuple[tuple[int, int], ...]) -> bool:
    return number is not None and any(low <= number <= high for low, high in ranges)


def _supervised(state: State, record: r.Supervised, seq: int) -> None:
    state.boot_id = record.boot_id
    state.epoch = record.epoch
    state.supervisors += 1
    state.supervised_at = record.at


def _sandboxed(state: State, record: r.Sandboxed, seq: int) -> None:
    state.init = record.init
    state.got = record.got
    state.missing = record.missing


def _stage_entered(state: State, record: r.StageEntered, seq: int) -> None:
    if record.stage not in STAGE_MOVES[state.stage]:
        raise IllegalMove(f"task from {state.stage} to {record.stage}")
    state.stage = record.stage
    state.stage_at = record.at
    state.stage_by = seq
    state.stages.append((record.stage, record.at, record.reason))
    state.reason = record.reason
    if record.result is not None:
        state.result = record.result


def _kill_requested(state: State, record: r.KillRequested, seq: int) -> None:
    state.kills += 1
    state.heard_at = record.heard_at or state.heard_at
    if state.kill_at is None:
        state.kill_at = record.at
        state.kill_by = seq
        state.kill_wait = record.wait
    if (record.force or state.kills > 1) and not state.forced:
        state.forced = True
        state.forced_by = seq


def _launched(state: State, record: r.Launched, seq: int) -> None:
    number = record.process
    if number >= len(state.processes):
        raise IllegalMove(f"process {number}: the task has none of that number")
    process = state.processes[number]
    if process.status != "waiting" or process.unmet or record.run != process.launches:
        raise IllegalMove(f"process {number}: run {record.run} launched while {process.status}")
    final = state.task.processes[number].final
    if state.stage != ("FINALIZING" if final else "ACTIVE"):
        raise IllegalMove(f"process {number}: launched while the task is {state.stage}")
    ready, due = state.ready[final], state.due[final]
    if ready and ready[0] == number:
        ready.popleft()
    elif due and due[0][1] == number:
        heappop(due)
    else:
        try:
            ready.remove(number)
        except ValueError:
            due.remove((process.not_before, number))
            due.sort()  # a sorted list is a heap
    process.status = "live"
    process.launches += 1
    process.runs.append(Run(number=record.run, state="FORKED", launched_at=record.at, launched_by=seq))
    if len(process.runs) > KEPT_RUNS:
        del process.runs[_least_wanted(process.runs) if process.failures else 0]
    state.forked[number] = None


def _least_wanted(runs: list[Run]) -> int:
    """Where the oldest run is that did not fail, or the oldest failure where failures fill half of the list."""
    failed = [run.state == "FAILED" for run in runs[:-1]]
    return failed.index(failed.count(True) > KEPT_RUNS // 2)


def _live_run(state: State, process: int, number: int) -> Run:
    runs = state.processes[process].runs if process < len(state.processes) else ()
    if not runs or runs[-1].number != number:
        raise IllegalMove(f"process {process}: no run {number}")
    return runs[-1]


def _move(run: Run, to: RunState) -> None:
    if to not in RUN_MOVES[run.state]:
        raise IllegalMove(f"run {run.number} from {run.state} to {to}")
    run.state = to


def _started(state: State, record: r.Started, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    _move(run, "RUNNING")
    run.pid = record.pid
    run.ticks = record.ticks
    run.started_at = record.at
    if record.process in state.forked:  # else a stop was decided on meanwhile
        del state.forked[record.process]
        state.running[record.process] = None
    _reach(state, record.process, "started", record.at, seq)


def _refused(state: State, record: r.Refused, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    if run.state != "FORKED":
        raise IllegalMove(f"run {run.number} refused while {run.state}")
    _move(run, "LOST" if record.errno in SHORTAGES else "FAILED")
    run.exit = Exit(source="keeper", why=f"cannot {record.step}: {record.message}")
    _run_over(state, record.process, run, record.at, seq)


def _exited(state: State, record: r.Exited, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    blamed = run.unhealthy and run.signalled is not None
    exit = Exit(
        source=record.source,
        code=record.code,
        signal=record.signal,
        core=record.core,
        oom=record.oom,
        cpu=record.cpu,
        memory=record.memory,
        why=record.why or (f"its health check failed: {run.checks.why}" if run.checks and blamed else ""),
    )
    definition = state.task.processes[record.process]
    _move(run, classify(exit, run.signalled, definition.success_codes, blamed))
    run.exit = exit
    if record.lingers:
        run.lingers = True
    _run_over(state, record.process, run, record.at, seq)


def _abandoned(state: State, record: r.Abandoned, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    if run.lingers:
        _emptied(state, r.Emptied(at=record.at, process=record.process, run=record.run), seq)
        return
    if run.signalled != signal.SIGKILL:
        raise IllegalMove(f"run {run.number} abandoned without a SIGKILL")
    _move(run, "LOST")
    run.exit = Exit(source="unknown", why="did not die of SIGKILL")
    _run_over(state, record.process, run, record.at, seq)


def _emptied(state: State, record: r.Emptied, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    if not run.lingers:
        raise IllegalMove(f"process {record.process}: run {record.run} is empty already")
    run.lingers = False
    state.spared.pop(record.process, None)
    state.lingering.pop(record.process, None)
    _next(state, record.process, run, seq)


def _signalled(state: State, record: r.Signalled, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    if run.state not in ("FORKED", "RUNNING") and not run.lingers:
        raise IllegalMove(f"process {record.process}: run {record.run} is {run.state}, not to be signalled")
    if not record.stop:
        return
    run.signalled = record.signal
    run.signalled_by = seq
    run.signalled_at = record.at
    if run.lingers:
        if record.signal == signal.SIGKILL and record.process in state.spared:
            del state.spared[record.process]
            state.lingering[record.process] = None
            _prune(state)
        return
    for where in (state.forked, state.running, state.stopping, state.sick):
        where.pop(record.process, None)
    if record.signal == signal.SIGKILL:
        state.killing[record.process] = None
        _prune(state)
        return
    state.stopping[record.process] = None
    timeout = state.task.processes[record.process].stop.timeout
    if timeout is None and run.unhealthy:
        timeout = state.task.finalization_wait
    if timeout is not None:
        heappush(state.overdue, (record.at + timeout, record.process, run.number))


def _prune(state: State) -> None:
    """Off the heap with what is over or killed, until its first is neither."""
    while state.overdue:
        _, number, of = state.overdue[0]
        run = state.processes[number].run
        if run is not None and run.number == of and (number in state.stopping or number in state.spared):
            return
        heappop(state.overdue)


def _checked(state: State, record: r.Checked, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    check = state.task.processes[record.process].health
    if run.state != "RUNNING" or check is None:
        raise IllegalMove(f"process {record.process}: run {record.run} is {run.state}, and was checked")
    run.checks = health.after(run.checks or Checks(), check, record.ok, record.why)
    if run.checks.failed and record.process in state.running:
        state.sick[record.process] = seq
    if run.checks.passed:
        _reach(state, record.process, "healthy", record.at, seq)


def _matched(state: State, record: r.Matched, seq: int) -> None:
    what = milestone("log", record.pattern)
    if record.process >= len(state.processes) or what not in state.graph.milestones.get(record.process, ()):
        raise IllegalMove(f"process {record.process}: nobody waits for {record.pattern!r}")
    _reach(state, record.process, what, record.at, seq)


def _disk_pressure(state: State, record: r.DiskPressure, seq: int) -> None:
    state.disk_pressure = record.why


def _compacted(state: State, record: r.Compacted, seq: int) -> None:
    fold = record.fold
    if fold.seq < state.seq or len(fold.processes) != len(state.processes):
        raise IllegalMove(f"compacted up to record {fold.seq}, of {len(fold.processes)} processes")
    for name in Fold.__struct_fields__:
        setattr(state, name, getattr(fold, name))


def _run_over(state: State, number: int, run: Run, at: float, seq: int) -> None:
    run.ended_at = at
    if number in state.running:
        del state.running[number]
    else:
        for where in (state.forked, state.stopping, state.killing):
            where.pop(number, None)
    if state.sick:
        state.sick.pop(number, None)
    process = state.processes[number]
    if run.state == "SUCCESS":
        process.successes += 1
    elif run.state == "FAILED":
        process.failures += 1
    if run.lingers:
        asked = run.signalled is not None and run.signalled != signal.SIGKILL
        spared = asked and state.task.processes[number].stop.to != "main"
        (state.spared if spared else state.lingering)[number] = None
        _prune(state)
    else:
        _next(state, number, run, seq)


def _next(state: State, number: int, run: Run, seq: int) -> None:
    """A run is over and nothing of it is left: finished, failed for good, stopped, or once more."""
    definition = state.task.processes[number]
    process = state.processes[number]
    plan = state.plans[definition.final]
    state.over_by = seq
    _prune(state)
    over = _outcome(state, number, run)
    if over is None:
        _again(state, number, run, seq)
        return
    process.status = "finished" if over == "failed" and definition.ephemeral else over
    plan.moving -= not definition.ephemeral or process.awaited > 0
    if not definition.ephemeral:
        plan.left -= over != "stopped"
        plan.failed += over == "failed"
    at = run.ended_at or 0.0
    if process.status == "finished":
        for follower in state.graph.followers[number]:
            _met(state, number, follower, at, seq)
    if number in state.graph.milestones and over != "stopped":
        if over == "failed":
            _reach(state, number, "failed", at, seq)
        else:
            _skip(state, state.graph.awaiting.get((number, "failed"), ()), at, seq)
        _reach(state, number, "completed", at, seq)


def _outcome(state: State, number: int, run: Run) -> Literal["finished", "failed", "stopped"] | None:
    """What the end of a run makes of its process; None: it runs again."""
    definition = state.task.processes[number]
    process = state.processes[number]
    if run.state == "SUCCESS" and not definition.daemon:
        return "finished"
    its_turn = state.stage == ("FINALIZING" if definition.final else "ACTIVE")
    stopped = run.signalled is not None and not (run.unhealthy and its_turn)
    if not stopped and (place := rule_for(definition.restart, run)) is not None:
        rule = definition.restart[place]
        spent = 0 if _seconds(run) >= rule.reset else process.spent.get(place, 0)
        if not rule.again or (rule.budget is not None and spent >= rule.budget):
            return "failed"
        process.spent[place] = spent + 1
        process.excused += run.state == "FAILED"
        return None
    limit = definition.max_failures
    if run.state == "FAILED" and limit and process.failures - process.excused >= limit:
        return "failed"
    return "stopped" if stopped else None


def rule_for(rules: tuple[Rule, ...], run: Run) -> int | None:
    """The first rule that an end fits. What nobody saw fits none."""
    if run.exit is None or run.state == "LOST":
        return None
    for place, rule in enumerate(rules):
        wanted = [
            wish
            for said, wish in (
                (rule.codes, _within(run.exit.code, rule.codes or ())),
                (rule.signals, run.exit.signal in (rule.signals or ())),
                (rule.oom, run.exit.oom == rule.oom),
                (rule.unhealthy, run.unhealthy == rule.unhealthy),
            )
            if said is not None
        ]
        seconds = _seconds(run)
        lasted = (rule.under is None or seconds < rule.under) and (rule.over is None or seconds >= rule.over)
        if lasted and (any(wanted) if wanted else run.state != "SUCCESS"):
            return place
    return None


def _seconds(run: Run) -> float:
    """How long a run lasted; one that never executed anything did not."""
    if run.ended_at is None or run.started_at is None:
        return 0.0
    return run.ended_at - run.started_at


def _met(state: State, number: int, follower: int, at: float, seq: int) -> None:
    """One thing that `follower` waits for has come about: something of `number`."""
    waiting = state.processes[follower]
    if waiting.status != "waiting":
        return
    _less_awaited(state, number, follower)
    waiting.unmet -= 1
    if not waiting.unmet:
        final = state.task.processes[follower].final
        waiting.ready_by = seq
        waiting.not_before = at
        state.plans[final].moving += not state.task.processes[follower].ephemeral or waiting.awaited > 0
        state.ready[final].append(follower)


def _less_awaited(state: State, number: int, follower: int) -> None:
    """`follower` waits for one thing less of an ephemeral process. Once nobody does who counts, that holds nothing up,
    and what it waits for itself is no longer awaited by somebody who counts."""
    if number not in state.graph.hopeful:
        return
    if state.task.processes[follower].ephemeral and not state.processes[follower].awaited:
        return
    left = [number]
    while left:
        number = left.pop()
        process = state.processes[number]
        process.awaited -= 1
        if process.awaited:
            continue
        if process.status == "live" or (process.status == "waiting" and not process.unmet):
            state.plans[state.task.processes[number].final].moving -= 1
        elif process.status == "waiting":
            left += (before for before in _still_awaited(state, number) if before in state.graph.hopeful)


def _still_awaited(state: State, number: int) -> list[int]:
    """The processes of which this one waits for something that has not come about, once for each such thing."""
    graph, processes = state.graph, state.processes
    unfinished = [before for before in graph.waits_for[number] if processes[before].status != "finished"]
    return unfinished + [before for before, what in graph.awaits[number] if what not in processes[before].reached]


def _reach(state: State, number: int, what: str, at: float, seq: int) -> None:
    """A process has come to something, for the first time: who waits for that?"""
    followers = state.graph.awaiting.get((number, what)) if state.graph.awaiting else None
    process = state.processes[number]
    if followers is None or what in process.reached:
        return
    process.reached.append(what)
    for follower in followers:
        _met(state, number, follower, at, seq)


def _skip(state: State, numbers: tuple[int, ...], at: float, seq: int) -> None:
    """These wait for a failure that did not come. Who waits for one of them is skipped too, but for its completion."""
    left = list(numbers)
    while left:
        number = left.pop()
        process = state.processes[number]
        if process.status != "waiting":
            continue
        process.status = "skipped"
        process.ready_by = seq
        definition = state.task.processes[number]
        state.plans[definition.final].left -= not definition.ephemeral
        for before in _still_awaited(state, number):
            _less_awaited(state, before, number)
        left += state.graph.followers[number]
        for what in state.graph.milestones.get(number, ()):
            if what != "completed":
                left += state.graph.awaiting[number, what]
        _reach(state, number, "completed", at, seq)


def _again(state: State, number: int, run: Run, seq: int) -> None:
    """The process waits for its next run: as its restart rule says, or min_duration, and longer the more often it
    went wrong."""
    definition = state.task.processes[number]
    process = state.processes[number]
    assert run.ended_at is not None
    process.streak = 0 if run.state == "SUCCESS" or _seconds(run) >= LASTED else process.streak + 1
    pause = definition.min_duration + BACK_OFF[min(process.streak, len(BACK_OFF) - 1)]
    place = rule_for(definition.restart, run)
    if place is not None and (backoff := definition.restart[place].backoff) is not None:
        pause = _pause(backoff, process.spent[place], _chance(run.ended_at, number))
    process.status = "waiting"
    process.not_before = run.ended_at + pause
    process.ready_by = seq
    if pause:
        heappush(state.due[definition.final], (process.not_before, number))
    else:
        state.ready[definition.final].append(number)


def _pause(backoff: Backoff, restarts: int, chance: float) -> float:
    """Seconds before the restart of that number, from 1."""
    pause = min(backoff.initial * backoff.factor ** min(restarts - 1, 64), backoff.most)
    return pause * (1 + backoff.jitter * (2 * chance - 1))


def _chance(at: float, number: int) -> float:
    """Evenly from 0 to 1, and the same each time the journal is read: the microseconds of an end differ by host."""
    return ((int(at * 1e6) ^ number * 40503) * 2654435761 & 0xFFFFFFFF) / 2**32  # Knuth's multiplicative hash


def _paused(state: State, record: r.Paused, seq: int) -> None:
    if state.paused_at:
        raise IllegalMove("it is paused already")
    state.paused_at = record.at
    state.paused_by = seq


def _unpaused(state: State, record: r.Unpaused, seq: int) -> None:
    if not state.paused_at:
        raise IllegalMove("it is not paused")
    stood = record.at - state.paused_at  # who was asked to stop could not
    state.overdue = [(at + stood, number, run) for at, number, run in state.overdue]
    state.paused_at = 0.0
    state.paused_by = seq


def _update_requested(state: State, record: r.UpdateRequested, seq: int) -> None:
    state.asked = (-1 if record.process is None else record.process, record.limits, seq)


def _updated(state: State, record: r.Updated, seq: int) -> None:
    state.asked = None
    number = -1 if record.process is None else record.process
    state.limits[number] = {**state.limits.get(number, {}), **record.limits}
    for row in record.rows:
        # What was refused when somebody asked left the limit as it was; what nobody asked about was lost.
        if row.got is not None or row.what not in state.rows or not record.cause:
            state.rows[row.what] = row


def _exceeded(state: State, record: r.Exceeded, seq: int) -> None:
    if not state.exceeded:
        state.exceeded, state.exceeded_by = record.why, seq


_MEANINGS: dict[type, Callable[[State, Any, int], None]] = {
    r.Supervised: _supervised,
    r.Sandboxed: _sandboxed,
    r.StageEntered: _stage_entered,
    r.KillRequested: _kill_requested,
    r.Launched: _launched,
    r.Started: _started,
    r.Refused: _refused,
    r.Exited: _exited,
    r.Emptied: _emptied,
    r.Signalled: _signalled,
    r.Abandoned: _abandoned,
    r.Checked: _checked,
    r.Matched: _matched,
    r.DiskPressure: _disk_pressure,
    r.Paused: _paused,
    r.Unpaused: _unpaused,
    r.UpdateRequested: _update_requested,
    r.Updated: _updated,
    r.Exceeded: _exceeded,
    r.Compacted: _compacted,
}
