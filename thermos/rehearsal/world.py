"""The pretended world: virtual time, scripted processes, and whatever else may happen to a task.

It keeps the promises that the keeper makes: a run asked for twice is started once, a signal asked for twice is sent
once, every fact is told again until it is acknowledged, and what a run's main process leaves behind is killed. What a
supervisor sees for itself (answers to health checks, lines of output) it does not see while there is none: a check is
then not made, a line is found later.
"""

from __future__ import annotations

import errno
import math
import re
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal

from thermos.core import health
from thermos.core.effects import Effect, End, Freeze, Launch, Limit, Signal, Thaw
from thermos.core.fold import Checks
from thermos.core.records import (
    Checked,
    DiskPressure,
    Emptied,
    Exceeded,
    Exited,
    KillRequested,
    Matched,
    Paused,
    Record,
    Refused,
    Started,
    Unpaused,
)
from thermos.core.task import HealthCheck, Task

NEVER = math.inf

#: What comes from outside, at a time of its own.
Request = KillRequested | DiskPressure | Paused | Unpaused | Exceeded

#: Seconds between two checks of a process that names none: the least that lets the time go on.
SHORTEST_INTERVAL = 0.1


@dataclass(frozen=True)
class Behaviour:
    """What one run does when nobody interferes, and when somebody does. Times are seconds of virtual time."""

    seconds: float = 1.0  # from its start to its end; NEVER: until it is stopped
    code: int | None = 0
    signal: int | None = None  # dies of this signal, and `code` means nothing
    oom: bool = False
    refused: int | None = None  # errno: its program cannot be executed
    starts_in: float = 0.0  # from being asked for to running
    stops_in: float = 0.0  # from its stop signal to its end; NEVER: ignores it
    stop_code: int | None = None  # exits with this when asked to stop; None: dies of the signal
    unkillable: bool = False  # survives SIGKILL too, as in an uninterruptible sleep
    leaves: float = 0.0  # how long its children outlive its main process, though killed; NEVER: for good
    stays: float = 0.0  # how long they go on by themselves when asked to stop; NEVER: until they are killed
    #: What a health check is told from so many seconds after the start on; before the first of them it fails.
    answers: tuple[tuple[float, bool], ...] = ((0.0, True),)
    #: What it writes, and how long after its start; None: a line that matches whatever somebody waits for.
    lines: tuple[tuple[float, str | None], ...] = ()


@dataclass(frozen=True)
class Death:
    """The supervisor is killed, before it has decided anything at that time, and the next one comes later."""

    at: float
    downtime: float = 0.0
    reboot: bool = False  # ... with all that runs


class Crash(Exception):
    """The supervisor is killed here and now."""

    def __init__(self, death: Death) -> None:
        super().__init__(f"at {death.at}")
        self.death = death


class NothingHappens(Exception):
    """The task is not over, nothing is under way, and no time to wake up was named: so it stays for ever."""


class TimeIsUp(Exception):
    """The task is not over at the time until which it was to be looked at."""


@dataclass
class PretendedRun:
    """What has become of a run in the world, whoever knows of it."""

    behaviour: Behaviour
    phase: Literal["starting", "running", "left", "gone"] = "starting"
    end_at: float = NEVER
    end: Behaviour | None = None  # whose code and signal the end has
    started: Started | None = None
    spared: bool = False  # it was asked to stop: its children have time
    empty_at: float = NEVER
    checks: Checks = field(default_factory=Checks)  # as the supervisor knows them


@dataclass
class PretendedWorld:
    """Clock, keeper and processes. `script(name, run)` says how each run behaves."""

    task: Task
    script: Callable[[str, int], Behaviour]
    requests: Iterable[Request] = ()
    deaths: Iterable[Death] = ()
    until: float = NEVER  # nobody looks further than that
    strerror: Callable[[int], str] = errno.errorcode.__getitem__  # what an errno is called
    now: float = field(repr=False, default=0.0)
    boot_id: str = field(repr=False, default="boot-1")
    runs: dict[tuple[int, int], PretendedRun] = field(repr=False, default_factory=dict[tuple[int, int], PretendedRun])
    #: What really was started: at, process, run.
    launches: list[tuple[float, int, int]] = field(repr=False, default_factory=list[tuple[float, int, int]])
    #: When nothing of a run was left.
    ends: dict[tuple[int, int], float] = field(repr=False, default_factory=dict[tuple[int, int], float])
    #: Those that really did something.
    effects: list[tuple[float, Effect]] = field(repr=False, default_factory=list[tuple[float, Effect]])
    over: bool = field(repr=False, default=False)
    _agenda: list[tuple[float, int, int, str]] = field(repr=False, default_factory=list[tuple[float, int, int, str]])
    _signals_sent: set[int] = field(repr=False, default_factory=set[int])
    _untold: dict[tuple[str, int, int], Record] = field(repr=False, default_factory=dict[tuple[str, int, int], Record])
    #: What the supervisor has seen for itself, and may have died before it wrote that down.
    _unwritten: list[Checked | Matched] = field(repr=False, default_factory=list[Checked | Matched])
    _requests: list[Request] = field(repr=False, default_factory=list[Request])
    #: While everything stands still: since when, and what would have happened.
    _still: tuple[float, list[tuple[float, int, int, str]]] | None = field(repr=False, default=None)
    _deaths: list[Death] = field(repr=False, default_factory=list[Death])
    _known: set[tuple[int, int]] = field(repr=False, default_factory=set[tuple[int, int]])
    _patterns: dict[int, list[str]] = field(repr=False, default_factory=dict[int, list[str]])  # not yet matched

    def __post_init__(self) -> None:
        self._requests = sorted(self.requests, key=lambda request: request.at)
        self._deaths = sorted(self.deaths, key=lambda death: death.at)
        index = {process.name: number for number, process in enumerate(self.task.processes)}
        for process in self.task.processes:
            for condition in process.conditions:
                known = self._patterns.setdefault(index[condition.process], [])
                if condition.on == "log" and condition.pattern not in known:
                    known.append(condition.pattern)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Launch(process, run):
                self._launch(effect, process, run)
            case Signal(process, run, signo, cause):
                if cause not in self._signals_sent and (process, run) in self.runs:
                    self._signals_sent.add(cause)
                    self.effects.append((self.now, effect))
                    self._signal((process, run), signo)
            case Freeze():
                if self._still is None:
                    self.effects.append((self.now, effect))
                    self._still = self.now, self._agenda[:]
                    self._agenda.clear()
            case Thaw():
                if self._still is not None:
                    self.effects.append((self.now, effect))
                    self._thaw(*self._still)
                    self._still = None
            case Limit():
                pass  # nothing here has any
            case End():
                if not self.over:
                    self.effects.append((self.now, effect))
                self.over = True

    def _thaw(self, since: float, agenda: list[tuple[float, int, int, str]]) -> None:
        """Everything happens as much later as it stood still."""
        for at, process, number, what in agenda:
            later = at + self.now - since
            run = self.runs[process, number]
            if what == "end" and at == run.end_at:
                run.end_at = later
            elif what == "empty" and at == run.empty_at:
                run.empty_at = later
            heappush(self._agenda, (later, process, number, what))

    def _launch(self, effect: Effect, process: int, run: int) -> None:
        if (process, run) in self._known:
            return
        self.effects.append((self.now, effect))
        self.launches.append((self.now, process, run))
        self._known.add((process, run))
        behaviour = self.script(self.task.processes[process].name, run)
        self.runs[process, run] = PretendedRun(behaviour)
        heappush(self._agenda, (self.now + behaviour.starts_in, process, run, "start"))

    def _signal(self, key: tuple[int, int], signo: int) -> None:
        run = self.runs[key]
        if run.phase == "left" and run.spared and signo == signal.SIGKILL:
            run.spared = False
            self._plan_empty(key, self.now + run.behaviour.leaves)
        if run.phase not in ("starting", "running") or run.behaviour.unkillable:
            return
        if signo != signal.SIGKILL:
            run.spared = self.task.processes[key[0]].stop.to != "main"
        if signo == signal.SIGKILL:
            run.phase = "running"  # it has come as far as being killed
            self._plan_end(key, self.now, Behaviour(signal=signo, leaves=run.behaviour.leaves))
        elif run.phase == "running" and self.now + run.behaviour.stops_in < run.end_at:
            code = run.behaviour.stop_code
            how = Behaviour(code=code, signal=signo if code is None else None, leaves=run.behaviour.leaves)
            self._plan_end(key, self.now + run.behaviour.stops_in, how)

    def _plan_empty(self, key: tuple[int, int], at: float) -> None:
        self.runs[key].empty_at = at
        if at != NEVER:
            heappush(self._agenda, (at, *key, "empty"))

    def _plan_end(self, key: tuple[int, int], at: float, how: Behaviour) -> None:
        run = self.runs[key]
        run.end_at, run.end = at, how
        if at != NEVER:
            heappush(self._agenda, (at, *key, "end"))

    def wait(self, wake_at: float | None) -> list[Record]:
        """What happens next: everything that happens at the first instant at which something does.

        Raises Crash where the supervisor's time has come, NothingHappens where it would wait for ever, TimeIsUp.
        """
        assert wake_at is None or wake_at > self.now, "asked to be woken in the past"
        dies_at = self._deaths[0].at if self._deaths else NEVER
        wakes_at = min(NEVER if wake_at is None else wake_at, dies_at)
        facts: list[Record] = []
        while not facts and self.now < wakes_at:
            upcoming = min(
                self._agenda[0][0] if self._agenda else NEVER, self._requests[0].at if self._requests else NEVER
            )
            if min(upcoming, wakes_at) == NEVER:
                raise NothingHappens(f"at {self.now}")
            if min(upcoming, wakes_at) > self.until:
                self.now = self.until
                raise TimeIsUp(f"at {self.now}")
            if wakes_at < upcoming:
                self.now = wakes_at
                break
            self.now = max(self.now, upcoming)
            facts = self._happen()
        if self.now >= dies_at:
            raise Crash(self._deaths.pop(0))
        return facts

    def sleep(self, seconds: float) -> None:
        """Time passes, and nobody listens."""
        until = self.now + seconds
        not_made: list[tuple[float, int, int]] = []
        while self._agenda and self._agenda[0][0] <= until:
            self.now = max(self.now, self._agenda[0][0])
            if self._agenda[0][3] == "check":
                not_made.append(heappop(self._agenda)[:3])
            else:
                self._what_is_next()
        self.now = until
        for at, process, number in not_made:
            check = self.task.processes[process].health
            if check is not None:
                heappush(self._agenda, (_on_the_grid(at, until, check), process, number, "check"))

    def _happen(self) -> list[Record]:
        facts: list[Record] = [request for request in self._requests if request.at <= self.now]
        while self._agenda and self._agenda[0][0] <= self.now:
            facts += self._what_is_next()
        return facts

    def _what_is_next(self) -> list[Record]:
        at, process, run, what = heappop(self._agenda)
        if what == "check":
            return self._check(at, process, run)
        if what.startswith("line:"):
            return self._line(at, process, run, int(what[5:]))
        fact = self._event(at, process, run, what)
        if fact is None:
            return []
        self._untold[type(fact).__name__, process, run] = fact
        return [fact]

    def _event(self, at: float, process: int, number: int, what: str) -> Record | None:
        run = self.runs[process, number]
        match what, run.phase:
            case "start", "starting" if run.behaviour.refused is not None:
                run.phase = "gone"
                self.ends[process, number] = at
                errno, message = run.behaviour.refused, self.strerror(run.behaviour.refused)
                return Refused(at=at, process=process, run=number, step="exec", errno=errno, message=message)
            case "start", "starting":
                return self._start(at, process, number, run)
            case "end", "running" if at == run.end_at and run.end is not None:
                how = run.end
                run.spared = run.spared and how.signal != signal.SIGKILL
                rest = run.behaviour.stays if run.spared else how.leaves
                run.phase = "left" if rest else "gone"
                if rest:
                    self._plan_empty((process, number), at + rest)
                else:
                    self.ends[process, number] = at
                return Exited(
                    at=at,
                    process=process,
                    run=number,
                    source="waited",
                    code=how.code if how.signal is None else None,
                    signal=how.signal,
                    oom=how.oom,
                    lingers=bool(rest),
                )
            case "empty", "left" if at == run.empty_at:
                run.phase = "gone"
                self.ends[process, number] = at
                return Emptied(at=at, process=process, run=number)
            case _:
                return None

    def _start(self, at: float, process: int, number: int, run: PretendedRun) -> Started:
        run.phase = "running"
        self._plan_end((process, number), at + run.behaviour.seconds, run.behaviour)
        if self.task.processes[process].health is not None:
            heappush(self._agenda, (at, process, number, "check"))
        if process in self._patterns:
            for place, (seconds, _) in enumerate(run.behaviour.lines):
                heappush(self._agenda, (at + seconds, process, number, f"line:{place:06}"))
        run.started = Started(at=at, process=process, run=number, pid=1000 + len(self.launches), ticks=1)
        return run.started

    def _check(self, at: float, process: int, number: int) -> list[Record]:
        """One health check: at once when the run starts, then at its interval, as long as an answer can change what
        is known."""
        run, check = self.runs[process, number], self.task.processes[process].health
        if run.phase != "running" or check is None or run.started is None:
            return []
        since = at - run.started.at
        ok = _answer(run.behaviour, since)
        why = "" if ok else "it does not answer"
        before, run.checks = run.checks, health.after(run.checks, check, ok, why)
        if run.checks is before:
            changes_at = _changes_at(run.behaviour, since)
            if changes_at != NEVER:  # else every answer from here on would be the same
                later = _on_the_grid(at, max(run.started.at + changes_at, at + _interval(check)), check)
                heappush(self._agenda, (later, process, number, "check"))
            return []
        heappush(self._agenda, (at + _interval(check), process, number, "check"))
        fact = Checked(at=at, process=process, run=number, ok=ok, why=why)
        self._unwritten.append(fact)
        return [fact]

    def _line(self, at: float, process: int, number: int, place: int) -> list[Record]:
        run = self.runs[process, number]
        if run.phase != "running":
            return []
        _, text = run.behaviour.lines[place]
        facts: list[Record] = []
        for pattern in [pattern for pattern in self._patterns[process] if text is None or re.search(pattern, text)]:
            self._patterns[process].remove(pattern)
            fact = Matched(at=at, process=process, run=number, pattern=pattern)
            self._unwritten.append(fact)
            facts.append(fact)
        return facts

    def acknowledge(self, records: Iterable[Record]) -> None:
        """These are in the journal: they need not be told again."""
        for record in records:
            if isinstance(record, Request):
                self._requests = [request for request in self._requests if request is not record]
            elif isinstance(record, Checked | Matched):
                self._unwritten = [seen for seen in self._unwritten if seen is not record]
            elif isinstance(record, Started | Refused | Exited | Emptied):
                self._untold.pop((type(record).__name__, record.process, record.run), None)

    def retold(self) -> list[Record]:
        """What a new supervisor learns: what is running, what was never acknowledged, and what it sees itself."""
        live = [run.started for run in self.runs.values() if run.phase == "running" and run.started]
        ends = [fact for fact in self._untold.values() if not isinstance(fact, Started)]
        starts = [fact for fact in self._untold.values() if isinstance(fact, Started)]
        return [*live, *starts, *self._unwritten, *ends]

    def known(self) -> set[tuple[int, int]]:
        return set(self._known)

    def reboot(self) -> None:
        """Everything that ran is gone, unseen. What the keeper had written down is still there, and so is output."""
        self.boot_id += "+"
        self._agenda.clear()
        self._still = None
        self._known = {(process, run) for _, process, run in self._untold}  # written down before it was told
        self._unwritten = [seen for seen in self._unwritten if isinstance(seen, Matched)]
        for key, run in self.runs.items():
            if run.phase != "gone":
                run.phase = "gone"
                self.ends[key] = self.now


def _answer(behaviour: Behaviour, since: float) -> bool:
    """What a check is told so many seconds after the start."""
    return next((ok for at, ok in reversed(behaviour.answers) if at <= since), False)


def _changes_at(behaviour: Behaviour, since: float) -> float:
    """After how many seconds the answer is next another one."""
    now = _answer(behaviour, since)
    return next((at for at, ok in behaviour.answers if at > since and ok != now), NEVER)


def _on_the_grid(at: float, wanted: float, check: HealthCheck) -> float:
    """When a check is due, of those that follow the one at `at`, or that one: the first that is not before `wanted`."""
    return at + math.ceil((wanted - at) / _interval(check)) * _interval(check)


def _interval(check: HealthCheck) -> float:
    return max(check.interval, SHORTEST_INTERVAL)
