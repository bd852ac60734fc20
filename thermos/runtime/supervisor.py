"""The supervisor: the brain of a task. Journal first, then the world; see `thermos.core`.

It starts with a socket to its keeper and learns its task from there. Whether it is the first supervisor of the task
or the tenth makes no difference to anything below: it replays what there is, hears what the keeper knows, and goes on.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from typing import NoReturn

# msgspec looks for typing_extensions only for its spelling of things that we do not use; 9 ms of the start.
_HIDE = "typing_extensions" not in sys.modules
if _HIDE:
    sys.modules["typing_extensions"] = None  # type: ignore[assignment] # what makes an import fail

import msgspec  # noqa: E402

if _HIDE:
    del sys.modules["typing_extensions"]

from thermos import paths  # noqa: E402
from thermos.checkpoint import journal, writing  # noqa: E402
from thermos.core.decide import decide, effect_of, expected, outstanding, reconcile  # noqa: E402
from thermos.core.effects import Effect  # noqa: E402
from thermos.core.evolve import evolve  # noqa: E402
from thermos.core.records import (  # noqa: E402
    Compacted,
    DiskPressure,
    Exited,
    Launched,
    Record,
    Refused,
    StageEntered,
    Supervised,
)
from thermos.core.state import State, fold_of, initial  # noqa: E402
from thermos.core.task import Accepted  # noqa: E402

from .world import World  # noqa: E402

#: Exit statuses, as of sysexits.h. The agent sees the first, where the supervisor gives up by itself. After the
#: others the keeper starts another one, a little later each time.
DATA_ERROR, BUG, TEMPORARY_FAILURE = 65, 70, 75

#: Seconds without news after which the journal is synced, and the longest that it is not.
QUIET, LATEST = 0.005, 0.1

#: On a full disk: seconds until we look again whether there is room. Nothing tells of that.
AGAIN = 2.0


class Supervisor:
    """One task's loop: settle, then wait for what comes."""

    def __init__(self, world: World) -> None:
        self._world = world
        directory = paths.task_dir(world.root, world.task_id)
        with open(f"{directory}/{paths.ACCEPTED}", "rb") as file:
            self.accepted = msgspec.json.decode(file.read(), type=Accepted)
        self._journal = writing.Writer(f"{directory}/{paths.JOURNAL}")
        self.state: State = initial(self.accepted.task)
        for record in self._journal.replayed:
            evolve(self.state, record)
        self._journal.replayed.clear()
        self._unsynced = 0.0  # since when something in the journal might not survive a power cut; 0: nothing
        self._in_charge = False

    def live(self) -> None:
        """Until the task has ended."""
        world, state = self._world, self.state
        world.take_charge(self.accepted, state)
        world.greet()
        while not state.ended or not world.all_told:
            wake_at = None
            if world.all_told:
                wake_at = self._settle()
                if state.ended:
                    break
            self._hear(wake_at)

    def _hear(self, wake_at: float | None) -> None:
        """Wait, and write down what happened: one fact at a time, as one may make the next one possible."""
        told = self._world.all_told
        news = False
        for record in self._world.wait(self._sync_by(wake_at)):
            news = True
            if self._world.all_told and not told:
                told = True
                self._go_on()  # first: the record's time is in an epoch that this one puts into the journal
            for effect in self._commit(record):
                self._world.perform(effect)
            self._world.acknowledge(record)
        if self._world.all_told and not told:
            self._go_on()
        if not news:
            self._rest()

    def _go_on(self) -> None:
        """The keeper, ours or a new one, has told all it knows: so what is missing is lost, or still to be done."""
        world = self._world
        self._commit(*reconcile(self.state, world.known, world.boot_id, world.now()))
        if not self._in_charge:
            self._in_charge = True
            self._commit(Supervised(at=world.now(), boot_id=world.boot_id, pid=os.getpid(), epoch=world.epoch))
        for effect in outstanding(self.state):
            world.perform(effect)
        world.look_after_all()

    def _settle(self) -> float | None:
        """Decide, write down and carry out, until nothing is left to decide. Returns when to look again."""
        self._under_pressure(self._journal.lack())
        while True:
            ready = decide(self.state, self._world.now())
            if not ready.records:
                return ready.wake_at
            for effect in self._commit(*ready.records):
                self._world.perform(effect)
            if isinstance(ready.records[0], Launched):
                self._world.expect(expected(self.state, ready.records[0]))

    def _commit(self, *records: Record) -> list[Effect]:
        """Into the journal, all or none; then into the state. Returns what follows from them."""
        if not records:
            return []
        self._journal.append(records)
        effects: list[Effect] = []
        for record in records:
            evolve(self.state, record)
            effect = effect_of(record, self.state.seq)
            if effect is not None:
                effects.append(effect)
        if any(isinstance(record, Exited | Refused | StageEntered | Supervised) for record in records):
            self._unsynced = self._unsynced or self._world.now()
        if self.state.ended:
            self._sync()
        return effects

    def _rest(self) -> None:
        """What is done for the journal in a quiet moment."""
        self._sync()
        try:
            self._journal.put_by()
        except OSError as error:
            self._under_pressure(f"there is no room for the journal: {error.strerror}")
            return
        if self.state.disk_pressure and not self._journal.lack():
            self._commit(DiskPressure(at=self._world.now()))
        self._world.listen()
        self._compact()

    def _under_pressure(self, why: str) -> None:
        if why and not self.state.disk_pressure:
            self._commit(DiskPressure(at=self._world.now(), why=why))
            _say(f"cannot start anything new in {self.accepted.task_id}: {why}; what runs goes on")

    def _compact(self) -> None:
        if self._journal.grown:
            record = Compacted(at=self._world.now(), fold=fold_of(self.state))
            try:
                self._journal.compact(record)
            except OSError:
                return  # a full disk, or a fold too large for a frame: later
            evolve(self.state, record)

    def _sync_by(self, wake_at: float | None) -> float | None:
        """When to make what is written survive a power cut: in a quiet moment, at the latest after LATEST.

        One fdatasync takes 0.1 ms or, where neighbours use the disk, 20; the task must not wait for it at each step.
        """
        now = self._world.now()
        if self._unsynced and now > self._unsynced + LATEST:
            self._rest()
        if self.state.disk_pressure or self._world.deaf:
            wake_at = now + AGAIN if wake_at is None else min(wake_at, now + AGAIN)
        if not self._unsynced:
            return wake_at
        return now + QUIET if wake_at is None else min(wake_at, now + QUIET)

    def _sync(self) -> None:
        if self._unsynced:
            self._world.make_durable()
            self._journal.sync()
            self._unsynced = 0.0


def _say(message: str) -> None:
    try:
        os.write(2, f"thermos: {message}\n".encode())
    except OSError:
        pass  # whoever listened is gone


def _give_up(status: int, message: str) -> NoReturn:
    _say(message)
    sys.exit(status)


def main() -> None:
    """`supervisor SOCKET`: a descriptor, whose other end is the keeper's."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # it holds a pidfd of each run
    if "THERMOS_FAULTS" in os.environ:
        from . import faults

        faults.install("supervisor")
    world = World(int(sys.argv[1]))
    if not world.charged():
        sys.exit(0)  # the keeper went away before there was a task: the file was invalid, say
    try:
        Supervisor(world).live()
        os._exit(0)  # all is written; taking the interpreter down takes 5 ms
    except (journal.Damaged, journal.WrongVersion) as error:
        _give_up(DATA_ERROR, f"{error}; the task's processes are left as they are")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            what = error.filename or f"the journal of {world.task_id}"
            _give_up(TEMPORARY_FAILURE, f"cannot write {what}: {error.strerror}; will try again")
        _tell_of_a_bug(error)
    except Exception as error:
        _tell_of_a_bug(error)


def _tell_of_a_bug(error: Exception) -> NoReturn:
    """The processes go on, and another supervisor is tried: what the bug met may have passed."""
    if os.environ.get("THERMOS_DEBUG") == "1":
        raise error
    _give_up(
        BUG, f"this is a bug in thermos: {type(error).__name__}: {error} (THERMOS_DEBUG=1 shows where); will go on"
    )
