"""A supervisor's life in the pretended world, and its death at any instant.

`live` keeps the supervisor's promise: what `decide` wants is in the journal before it is done. Whoever takes over
after a death has nothing but that journal and what the world tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from thermos.checkpoint import codec
from thermos.core.decide import decide, effect_of, outstanding, reconcile
from thermos.core.evolve import evolve
from thermos.core.records import (
    Checked,
    Compacted,
    Exited,
    Launched,
    Matched,
    Record,
    Refused,
    Supervised,
)
from thermos.core.state import IllegalMove, State, fold_of, initial

from .world import Crash, Death, PretendedWorld, Request

Kind = Literal["fact", "decision"]
Watch = Callable[[State, tuple[Record, ...], Kind], None]


@dataclass
class History:
    """A task's life: the journal (encoded frames), the state at its end, and how many supervisors it took.

    `forgotten` are the frames that were in the journal before it was compacted.
    """

    frames: list[bytes] = field(default_factory=list[bytes])
    forgotten: list[bytes] = field(default_factory=list[bytes])
    state: State | None = None
    supervisors: int = 0
    written: int = 0  # records, but for those that others were compacted to
    moments: int = 0  # at which a supervisor might have died

    def records(self) -> list[Record]:
        """All that ever was in the journal, but for what it was compacted to."""
        frames = [*self.forgotten, *self.frames]
        records = [record for frame in frames for record in codec.decode(frame, 0)[0].records]
        return [record for record in records if not isinstance(record, Compacted)]

    def append(self, seq: int, records: Iterable[Record]) -> None:
        new = tuple(records)
        self.frames.append(codec.encode(seq, new))
        self.written += len(new)


@dataclass
class Supervisor:
    """One supervisor's life. `survive` is called wherever it may be killed, and raises Crash where it is.

    Whenever it rests, `grown` says whether the journal is to be compacted.
    """

    world: PretendedWorld
    history: History
    survive: Callable[[], None]
    grown: Callable[[], bool]
    watch: Watch
    state: State
    wake_at: float | None = None

    def live(self, patience: int) -> None:
        """To the task's end, or what the world raises."""
        self.history.state = self.state
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
        """Decide until there is nothing left to decide."""
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
            self.history.append(self.state.seq - len(news) + 1, news)
            # A request is told once, and what it saw itself is known to be in the journal by looking there.
            once = Request | Checked | Matched
            self.world.acknowledge(record for record in news if isinstance(record, once))
            self.watch(self.state, tuple(news), "fact")
            self.survive()
            for seq, fact in enumerate(news, self.state.seq - len(news) + 1):
                effect = effect_of(fact, seq)
                if effect is not None:  # of a request
                    self.world.perform(effect)
                    self.survive()
        self.world.acknowledge(facts)

    def commit(self, records: tuple[Record, ...], kind: Kind) -> None:
        """Into the journal first, then into the state."""
        self.survive()
        self.history.append(self.state.seq + 1, records)
        self.survive()
        for record in records:
            evolve(self.state, record)
        self.watch(self.state, records, kind)

    def compact(self) -> None:
        """All of the journal in one record."""
        record = Compacted(at=self.world.now, fold=fold_of(self.state))
        frame = codec.encode(self.state.seq + 1, [record])
        self.survive()
        self.history.forgotten += self.history.frames
        self.history.frames[:] = [frame]
        self.survive()
        evolve(self.state, record)


def live(
    world: PretendedWorld,
    *,
    history: History | None = None,
    crashes: frozenset[int] = frozenset(),
    reboots: frozenset[int] = frozenset(),
    compactions: frozenset[int] = frozenset(),
    after_records: int | None = None,
    downtime: float = 0.0,
    watch: Watch = lambda state, records, kind: None,
    died: Callable[[Death], None] = lambda death: None,
    rested: Callable[[State], None] = lambda state: None,
    patience: int = 20_000,
) -> History:
    """The whole life of the world's task.

    The supervisor dies at the moments numbered in `crashes` and `reboots`, and once when the journal has come to
    `after_records` records; it compacts its journal in those of its rests that are numbered in `compactions`.
    `rested` is told each time that nothing is left to decide.
    `history` is what is filled in, for whoever wants it though the world raises NothingHappens or TimeIsUp.
    """
    history = history or History()
    rests = 0
    fatal = after_records

    def grown() -> bool:
        nonlocal rests
        assert history.state is not None
        rested(history.state)
        rests += 1
        return rests in compactions

    def survive() -> None:
        nonlocal fatal
        history.moments += 1
        if fatal is not None and history.written >= fatal:
            fatal = None
            raise Crash(Death(world.now, downtime))
        if history.moments in crashes or history.moments in reboots:
            raise Crash(Death(world.now, downtime, history.moments in reboots))

    while True:
        history.supervisors += 1
        supervisor = Supervisor(world, history, survive, grown, watch, initial(world.task))
        try:
            supervisor.live(patience)
        except Crash as crash:
            died(crash.death)
            if crash.death.reboot:
                world.reboot()
            world.sleep(crash.death.downtime)
            continue
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
