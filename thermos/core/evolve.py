"""What each record means: `evolve(state, record) -> state`. Supervisor, observer and CLI all use this one."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from . import records as r
from .fold import Exit, Fold, Run, RunState
from .records import Record
from .state import KEPT_RUNS, RUN_MOVES, STAGE_MOVES, IllegalMove, State

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


def classify(exit: Exit, asked: int | None) -> RunState:
    """What an exit is called. `asked`: the stop signal we had decided on, if any."""
    if exit.source == "unknown":
        return "LOST"
    if exit.signal is not None:
        own_fault = exit.signal in FAULTS or (exit.oom and exit.signal == signal.SIGKILL)
        return "FAILED" if own_fault and exit.signal != asked else "KILLED"
    return "SUCCESS" if exit.code == 0 else "FAILED"


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


def _refused(state: State, record: r.Refused, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    if run.state != "FORKED":
        raise IllegalMove(f"run {run.number} refused while {run.state}")
    _move(run, "LOST" if record.errno in SHORTAGES else "FAILED")
    run.exit = Exit(source="keeper", why=f"cannot {record.step}: {record.message}")
    _run_over(state, record.process, run, record.at, seq)


def _exited(state: State, record: r.Exited, seq: int) -> None:
    run = _live_run(state, record.process, record.run)
    exit = Exit(
        source=record.source,
        code=record.code,
        signal=record.signal,
        core=record.core,
        oom=record.oom,
        cpu=record.cpu,
        memory=record.memory,
        why=record.why,
    )
    _move(run, classify(exit, run.signalled))
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
        return
    for where in (state.forked, state.running, state.stopping):
        where.pop(record.process, None)
    where = state.killing if record.signal == signal.SIGKILL else state.stopping
    where[record.process] = None


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
    process = state.processes[number]
    if run.state == "SUCCESS":
        process.successes += 1
    elif run.state == "FAILED":
        process.failures += 1
    if run.lingers:
        spared = run.signalled is not None and run.signalled != signal.SIGKILL
        (state.spared if spared else state.lingering)[number] = None
    else:
        _next(state, number, run, seq)


def _next(state: State, number: int, run: Run, seq: int) -> None:
    """A run is over and nothing of it is left: finished, failed for good, stopped, or once more."""
    definition = state.task.processes[number]
    process = state.processes[number]
    plan = state.plans[definition.final]
    state.over_by = seq
    if run.state == "SUCCESS" and not definition.daemon:
        process.status = "finished"
    elif run.state == "FAILED" and definition.max_failures and process.failures >= definition.max_failures:
        process.status = "finished" if definition.ephemeral else "failed"
    elif run.signalled is not None:
        process.status = "stopped"
    else:
        _again(state, number, run, seq)
        return
    if not definition.ephemeral:
        plan.left -= process.status != "stopped"
        plan.failed += process.status == "failed"
        plan.moving -= 1
    if process.status == "finished":
        for follower in state.graph.followers[number]:
            waiting = state.processes[follower]
            waiting.unmet -= 1
            if not waiting.unmet:
                waiting.ready_by = seq
                waiting.not_before = run.ended_at or 0.0
                plan.moving += not state.task.processes[follower].ephemeral
                state.ready[definition.final].append(follower)


def _again(state: State, number: int, run: Run, seq: int) -> None:
    """The process waits for its next run: min_duration, and longer the more often it went wrong."""
    definition = state.task.processes[number]
    process = state.processes[number]
    assert run.ended_at is not None
    lasted = run.started_at is not None and run.ended_at - run.started_at >= LASTED
    process.streak = 0 if run.state == "SUCCESS" or lasted else process.streak + 1
    pause = definition.min_duration + BACK_OFF[min(process.streak, len(BACK_OFF) - 1)]
    process.status = "waiting"
    process.not_before = run.ended_at + pause
    process.ready_by = seq
    if pause:
        heappush(state.due[definition.final], (process.not_before, number))
    else:
        state.ready[definition.final].append(number)


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
    r.DiskPressure: _disk_pressure,
    r.Compacted: _compacted,
}
