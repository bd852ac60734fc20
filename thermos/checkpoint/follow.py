"""Follows one task's journal as it grows, woken by inotify and never by a timer."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from types import TracebackType

from inotify_simple import INotify, flags

from thermos import paths
from thermos.core.evolve import evolve
from thermos.core.records import Record
from thermos.core.state import State, initial
from thermos.core.task import Accepted

from .journal import Reader
from .tasks import NoSuchTask

_APPEARED = flags.CREATE | flags.MOVED_TO
_GONE = flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED
#: CLOSE_WRITE tells that the lock was let go: its holder has it open for writing.
_WATCHED = (
    flags.MODIFY | flags.CLOSE_WRITE | _APPEARED | flags.DELETE | flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR
)


class Follower:
    """A task's journal from its first record on. Select on it for reading; then `new` has the news.

    The journal need not be there yet, and may be replaced by a compacted one that keeps the numbers of its records:
    whoever comes late then gets `Compacted` in place of what it missed.
    It also wakes (with no news) when something else changes in the task's directory: its lock, its control socket.

    Raises NoSuchTask, PermissionError; `new` also what journal.Reader raises.
    """

    def __init__(self, root: str, task_id: str) -> None:
        self._task_id = task_id
        self._path = f"{paths.task_dir(root, task_id)}/{paths.JOURNAL}"
        self._reader: Reader | None = None
        self._gone = False
        self.seq = 0  # of the last record given out
        self._inotify = INotify()
        try:
            self._inotify.add_watch(paths.task_dir(root, task_id), _WATCHED)
        except OSError as error:
            self._inotify.close()
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise NoSuchTask(task_id) from None
            raise OSError(error.errno, os.strerror(error.errno or 0), paths.task_dir(root, task_id)) from None

    def fileno(self) -> int:
        return self._inotify.fileno()

    def new(self) -> list[Record]:
        """The records appended since the last call. Raises NoSuchTask once the task's directory is gone."""
        replaced = self._drain_events()
        records = self._read()
        if replaced or self._reader is None:
            self._reopen()
            records += self._read()
        if self._gone and not records:
            raise NoSuchTask(self._task_id)
        return records

    def wait(self, timeout: float | None = None) -> None:
        """Block until something changes, for `timeout` seconds at most."""
        if not self._gone:
            select.select([self], [], [], timeout)

    def _drain_events(self) -> bool:
        """Whether the journal's name stands for another file now."""
        replaced = False
        for event in self._inotify.read(timeout=0):
            # The journal we hold open keeps its removed directory alive, and DELETE_SELF from coming.
            self._gone |= event.name == paths.JOURNAL and bool(event.mask & flags.DELETE)
            self._gone |= bool(event.mask & _GONE)
            replaced |= bool(event.mask & flags.Q_OVERFLOW)
            replaced |= event.name == paths.JOURNAL and bool(event.mask & _APPEARED)
        return replaced

    def _read(self) -> list[Record]:
        if self._reader is None:
            return []
        records = self._reader.new()
        known = self.seq - (self._reader.seq - len(records))
        self.seq = max(self.seq, self._reader.seq)
        return records[max(known, 0) :]

    def _reopen(self) -> None:
        if self._reader is not None:
            self._reader.close()
        try:
            self._reader = Reader(self._path)
        except FileNotFoundError:
            self._reader = None

    def close(self) -> None:
        self._inotify.close()
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def states(root: str, accepted: Accepted) -> Iterator[State]:
    """The task's state as it is, and again whenever something changed; the last one has ended.

    Raises what Follower raises, and IllegalMove.
    """
    state = initial(accepted.task)
    with Follower(root, accepted.task_id) as follower:
        while True:
            for record in follower.new():
                evolve(state, record)
            yield state
            if state.ended:
                return
            follower.wait()
