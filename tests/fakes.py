"""A pretended world, and the supervisor's loop in it: virtual time, scripted processes, deaths at any instant.

`FakeWorld` keeps the promises the keeper makes: a run asked for twice is started once, a signal asked for twice is
sent once, every fact is told again until it is acknowledged, and what a run's main process leaves behind is killed.
`live` keeps the supervisor's: what `decide` wants is in the journal before it is done.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal

from thermos.checkpoint import codec
from thermos.core.decide import decide, effect_of, outstanding, reconcile
from thermos.core.effects import Effect, End, Launch, Signal
from thermos.core.evolve import evolve
from thermos.core.records import (
    Compacted,
    Emptied,
    Exited,
    KillRequested,
    Launched,
    Record,
    Refused,
    Started,
    Supervised,
)
from thermos.core.state import IllegalMove, State, fold_of, initial
from thermos.core.task import Process, Resources, Task

NEVER = math.inf


def a_process(
    name: str,
    *,
    after: tuple[str, ...] = (),
    max_failures: int = 1,
    min_duration: float = 0.0,
    daemon: bool = False,
    ephemeral: bool = False,
    final: bool = False,
) -> Process:
    """A process of no consequence but its place in the graph."""
    return Process(
        name=name,
        cmdline="true",
        argv=None,
        max_failures=max_failures,
        daemon=daemon,
        ephemeral=ephemeral,
        min_duration=min_duration,
        final=final,
        after=after,
    )


def a_task(
    *processes: Process, max_failures: int = 1, max_concurrency: int = 0, finalization_wait: float = 30.0
) -> Task:
    return Task(
        name="task",
        processes=processes,
        max_failures=max_failures,
        max_concurrency=max_concurrency,
        finalization_wait=finalization_wait,
        user=None,
        resources=Resources(),
        env={},
    )


@dataclass(frozen=True)
class Behaviour:
    """What one run does when nobody interferes, and when somebody does. Times are seconds of virtual time."""

    seconds: float = 1.0  # from its start to its end; NEVER: until it is stopped
    code: int | None = 0
    signal: int | None = None  # dies of this signal, and `code` means nothing
    oom: bool = False
    refused: int | None = None  # errno: its program cannot be executed
    starts_in: float = 0.0  # from being asked for to running
    stops_in: float = 0.0  # from SIGTERM to its end; NEVER: ignores it
    stop_code: int | None = None  # exits with this when asked to stop; None: dies of SIGTERM
    unkillable: bool = False  # survives SIGKILL too, as in an uninterruptible sleep
    leaves: float = 0.0  # how long its children outlive its main process, though killed; NEVER: for good
    stays: float = 0.0  # how long they go on by themselves when asked to stop; NEVER: until they are killed


class Crash(Exception):
    """The supervisor is killed here and now."""


class NothingHappens(Exception):
    """The task is not over, nothing is under way, and no time to wake up was named: it would hang for ever."""


@dataclass
class FakeRun:
    behaviour: Behaviour
    asked_at: float
    phase: Literal["starting", "running", "left", "gone"] = "starting"
    end_at: float = NEVER
    end: Behaviour | None = None  # whose code and signal the end has
    started: Started | None = None
    spared: bool = False  # it was asked to stop: its children have time
    empty_at: float = NEVER


@dataclass
class FakeWorld:
    """Clock, keeper and processes. `script(name, run)` says how each run behaves."""

    task: Task
    script: Callable[[str, int], Behaviour]
    requests: Iterable[KillRequested] = ()
    now: float = field(repr=False, default=0.0)
    boot_id: str = field(repr=False, default="boot-1")
    runs: dict[tuple[int, int], FakeRun] = field(repr=False, default_factory=dict)
    launches: list[tuple[float, int, int]] = field(
        repr=False, default_factory=list
    )  # what really was started: at, process, run
    ends: dict[tuple[int, int], float] = field(repr=False, default_factory=dict)  # when nothing of a run was left
    effects: list[tuple[float, Effect]] = field(repr=False, default_factory=list)  # that really did something
    over: bool = field(repr=False, default=False)
    _agenda: list[tuple[float, int, int, str]] = field(repr=False, default_factory=list)
    _signals_sent: set[int] = field(repr=False, default_factory=set)
    _untold: dict[tuple[str, int, int], Record] = field(repr=False, default_factory=dict)
    _requests: list[KillRequested] = field(repr=False, default_factory=list)
    _known: set[tuple[int, int]] = field(repr=False, default_factory=set)

    def __post_init__(self) -> None:
        self._requests = sorted(self.requests, key=lambda request: request.at)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Launch(process, run):
                self._launch(effect, process, run)
            case Signal(process, run, signo, cause):
                if cause not in self._signals_sent and (process, run) in self.runs:
                    self._signals_sent.add(cause)
                    self.effects.append((self.now, effect))
                    self._signal((process, run), signo)
            case End():
                if not self.over:
                    self.effects.append((self.now, effect))
                self.over = True

    def _launch(self, effect: Effect, process: int, run: int) -> None:
        if (process, run) in self._known:
            return
        self.effects.append((self.now, effect))
        self.launches.append((self.now, process, run))
        self._known.add((process, run))
        behaviour = self.script(self.task.processes[process].name, run)
        self.runs[process, run] = FakeRun(behaviour, self.now)
        heappush(self._agenda, (self.now + behaviour.starts_in, process, run, "start"))

    def _signal(self, key: tuple[int, int], signo: int) -> None:
        run = self.runs[key]
        if run.phase == "left" and run.spared and signo == signal.SIGKILL:
            run.spared = False
            self._plan_empty(key, self.now + run.behaviour.leaves)
        if run.phase not in ("starting", "running") or run.behaviour.unkillable:
            return
        if signo != signal.SIGKILL:
            run.spared = True
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
        """What happens next: everything that happens at the first instant at which something does."""
        assert wake_at is None or wake_at > self.now, "asked to be woken in the past"
        facts: list[Record] = []
        while not facts:
            upcoming = min(
                self._agenda[0][0] if self._agenda else NEVER, self._requests[0].at if self._requests else NEVER
            )
            if wake_at is not None and wake_at < upcoming and wake_at != NEVER:
                self.now = wake_at
                return []
            if upcoming == NEVER:
                raise NothingHappens(f"at {self.now}")
            self.now = max(self.now, upcoming)
            facts = self._happen()
        return facts

    def sleep(self, seconds: float) -> None:
        """Time passes, and nobody listens."""
        until = self.now + seconds
        while self._agenda and self._agenda[0][0] <= until:
            self.now = max(self.now, self._agenda[0][0])
            self._happen()
        self.now = until

    def _happen(self) -> list[Record]:
        facts: list[Record] = [request for request in self._requests if request.at <= self.now]
        while self._agenda and self._agenda[0][0] <= self.now:
            at, process, run, what = heappop(self._agenda)
            fact = self._event(at, process, run, what)
            if fact is not None:
                facts.append(fact)
                self._untold[type(fact).__name__, process, run] = fact
        return facts

    def _event(self, at: float, process: int, number: int, what: str) -> Record | None:
        run = self.runs[process, number]
        match what, run.phase:
            case "start", "starting" if run.behaviour.refused is not None:
                run.phase = "gone"
                self.ends[process, number] = at
                errno = run.behaviour.refused
                return Refused(at=at, process=process, run=number, step="exec", errno=errno, message=os.strerror(errno))
            case "start", "starting":
                run.phase = "running"
                self._plan_end((process, number), at + run.behaviour.seconds, run.behaviour)
                run.started = Started(at=at, process=process, run=number, pid=1000 + len(self.launches), ticks=1)
                return run.started
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

    def acknowledge(self, records: Iterable[Record]) -> None:
        """These are in the journal: they need not be told again."""
        for record in records:
            if isinstance(record, KillRequested):
                self._requests = [request for request in self._requests if request is not record]
            elif isinstance(record, Started | Refused | Exited | Emptied):
                self._untold.pop((type(record).__name__, record.process, record.run), None)

    def retold(self) -> list[Record]:
        """What the keeper tells a new supervisor: what is running, and what was never acknowledged."""
        live = [run.started for run in self.runs.values() if run.phase == "running" and run.started]
        return [*live, *self._untold.values()]

    def known(self) -> set[tuple[int, int]]:
        return set(self._known)

    def reboot(self) -> None:
        """Everything that ran is gone, unseen. What the keeper had written down is still there."""
        self.boot_id += "+"
        self._agenda.clear()
        self._known = {(process, run) for _, process, run in self._untold}  # written down before it was told
        for key, run in self.runs.items():
            if run.phase != "gone":
                run.phase = "gone"
                self.ends[key] = self.now


@dataclass
class History:
    """A task's life: the journal (encoded frames), the state at its end, and how many supervisors it took.

    `forgotten` are the frames that were in the journal before it was compacted.
    """

    frames: list[bytes] = field(default_factory=list)
    forgotten: list[bytes] = field(default_factory=list)
    state: State | None = None
    supervisors: int = 0

    def records(self) -> list[Record]:
        """All that ever was in the journal, but for what it was compacted to."""
        frames = [*self.forgotten, *self.frames]
        records = [record for frame in frames for record in codec.decode(frame, 0)[0].records]
        return [record for record in records if not isinstance(record, Compacted)]


Watch = Callable[[State, tuple[Record, ...], Literal["fact", "decision"]], None]


@dataclass
class Supervisor:
    """One supervisor's life. `survive` is called wherever it may be killed, and raises Crash where it is.

    Whenever it rests, `grown` says whether the journal is to be compacted.
    """

    world: FakeWorld
    history: History
    survive: Callable[[], None]
    grown: Callable[[], bool]
    watch: Watch
    state: State
    wake_at: float | None = None

    def live(self, patience: int) -> None:
        for frame in self.history.frames:
            for record in codec.decode(frame, 0)[0].records:
                evolve(self.state, record)
        lost = reconcile(self.state, self.world.known(), self.world.boot_id, self.world.now)
        mine = Supervised(at=self.world.now, boot_id=self.world.boot_id, pid=1, epoch=0.0)
        self.commit((mine, *lost), "fact")
        self.learn(self.world.retold())
        for effect in outstanding(self.state):
            self.survive()
            self.world.perform(effect)
        for _ in range(patience):
            self.settle(patience)
            if self.state.ended:
                return
            self.learn(self.world.wait(self.wake_at))
        raise AssertionError(f"not over after {patience} turns")

    def settle(self, patience: int) -> None:
        for _ in range(patience):
            ready = decide(self.state, self.world.now)
            if not ready.records:
                self.wake_at = ready.wake_at
                if self.grown():
                    self.compact()
                return
            seq = self.state.seq
            self.commit(ready.records, "decision")
            for number, record in enumerate(ready.records, seq + 1):
                effect = effect_of(record, number)
                if effect is not None:
                    self.survive()
                    self.world.perform(effect)
        raise AssertionError(f"not settled after {patience} decisions")

    def learn(self, facts: Iterable[Record]) -> None:
        """Facts may be told twice: those that do not fit any more are no news."""
        self.survive()
        news: list[Record] = []
        for fact in facts:
            try:
                evolve(self.state, fact)
            except IllegalMove:
                continue
            news.append(fact)
        if news:
            self.history.frames.append(codec.encode(self.state.seq - len(news) + 1, news))
            self.world.acknowledge(r for r in news if isinstance(r, KillRequested))
            self.watch(self.state, tuple(news), "fact")
            self.survive()
        self.world.acknowledge(facts)

    def commit(self, records: tuple[Record, ...], kind: Literal["fact", "decision"]) -> None:
        self.survive()
        self.history.frames.append(codec.encode(self.state.seq + 1, records))
        self.survive()
        for record in records:
            evolve(self.state, record)
        self.watch(self.state, records, kind)

    def compact(self) -> None:
        record = Compacted(at=self.world.now, fold=fold_of(self.state))
        frame = codec.encode(self.state.seq + 1, [record])
        self.survive()
        self.history.forgotten += self.history.frames
        self.history.frames[:] = [frame]
        self.survive()
        evolve(self.state, record)


def live(
    world: FakeWorld,
    *,
    crashes: frozenset[int] = frozenset(),
    reboots: frozenset[int] = frozenset(),
    compactions: frozenset[int] = frozenset(),
    downtime: float = 0.0,
    watch: Watch = lambda state, records, kind: None,
    patience: int = 20_000,
) -> History:
    """The whole life of the world's task.

    The supervisor dies at the moments numbered in `crashes` and `reboots`, and compacts its journal in those of its
    rests that are numbered in `compactions`.
    """
    history = History()
    moment = rests = 0

    def grown() -> bool:
        nonlocal rests
        rests += 1
        return rests in compactions

    def survive() -> None:
        nonlocal moment
        moment += 1
        if moment in crashes or moment in reboots:
            raise Crash

    while True:
        history.supervisors += 1
        supervisor = Supervisor(world, history, survive, grown, watch, initial(world.task))
        try:
            supervisor.live(patience)
        except Crash:
            if moment in reboots:
                world.reboot()
            world.sleep(downtime)
            continue
        history.state = supervisor.state
        return history


def runs_of(history: History) -> dict[tuple[int, int], str]:
    """How each run ended: (process, run) -> its last state; "stopped" where we had asked it to end, however it did."""
    assert history.state is not None
    state = initial(history.state.task)
    ended: dict[tuple[int, int], str] = {}
    for record in history.records():
        evolve(state, record)
        if isinstance(record, Launched | Refused | Exited):
            run = state.processes[record.process].run
            assert run is not None
            ended[record.process, record.run] = "stopped" if run.signalled is not None else run.state
    return ended
