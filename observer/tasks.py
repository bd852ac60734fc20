"""Finds the tasks below the roots and follows their journals, woken by inotify and by nothing else.

A task's directory is made elsewhere and renamed: from then on its journal is followed and folded, from the last offset
on, until the task has ended. Of an ended task only its status stays in memory, and nothing is watched.
What cannot be read is kept too, with the reason in `error`: a damaged journal must be seen, not hidden.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

import msgspec
from inotify_simple import INotify, flags

from thermos import paths
from thermos.checkpoint import journal, tasks
from thermos.core.evolve import evolve
from thermos.core.fold import Run
from thermos.core.state import ENDED, State, initial
from thermos.core.status import TaskStatus, status_of
from thermos.core.task import Accepted

_GONE: int = flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT
_ARRIVED: int = flags.CREATE | flags.MOVED_TO
_LEFT: int = flags.DELETE | flags.MOVED_FROM
_WATCH_TASKS: int = _ARRIVED | _LEFT | _GONE | flags.ONLYDIR | flags.MASK_ADD
_WATCH_TASK: int = _ARRIVED | flags.MODIFY | flags.ONLYDIR | flags.DONT_FOLLOW
_WATCH_PARENT: int = _ARRIVED | _LEFT | _GONE | flags.ONLYDIR | flags.MASK_ADD


class Observed:
    """One task as far as its directory tells."""

    def __init__(self, root: str, task_id: str) -> None:
        self.root = root
        self.task_id = task_id
        self.error = ""  # why it, or the rest of its journal, cannot be read
        self.accepted: Accepted | None = None  # None: unreadable, or ended
        self._state: State | None = None
        self._reader: journal.Reader | None = None
        self._status: TaskStatus | None = None
        self._folded = -1  # the sequence number `_status` shows

    @property
    def directory(self) -> str:
        return paths.task_dir(self.root, self.task_id)

    @property
    def status(self) -> TaskStatus | None:
        """What is known of the task, `supervised` apart. None: not even what it is."""
        if self.accepted and self._state and self._folded != self._state.seq:
            self._status = status_of(self.accepted, self._state, False, self.root)
            self._folded = self._state.seq
        return self._status

    @property
    def ended(self) -> bool:
        if self._state is not None:
            return self._state.stage in ENDED
        return self._status is not None and self._status.state in ENDED

    def asked(self) -> TaskStatus | None:
        """Its status, with `supervised` as it is at this moment."""
        status = self.status
        if status is None or not tasks.supervised(self.root, self.task_id):
            return status
        return msgspec.structs.replace(status, supervised=True)

    @property
    def boot_id(self) -> str:
        """The boot that its pids are of."""
        return self._state.boot_id if self._state else ""

    def running(self) -> Iterator[Run]:
        """The runs whose program is executed."""
        if self._state:
            for number in (*self._state.running, *self._state.stopping, *self._state.killing):
                run = self._state.processes[number].run
                if run and run.state == "RUNNING":
                    yield run

    def live_runs(self) -> Iterator[tuple[str, Run]]:
        """The runs that something may be alive of, each with its process's name."""
        if self.accepted and self._state:
            for definition, process in zip(self.accepted.task.processes, self._state.processes, strict=True):
                run = process.run
                if run and (run.state in ("FORKED", "RUNNING") or run.lingers):
                    yield definition.name, run

    def load(self) -> None:
        """Read everything from the beginning: the task is new, or its files were replaced."""
        self.close()
        self.error = ""
        self._folded = -1
        try:
            self.accepted = tasks.read_accepted(self.root, self.task_id)
            if self.accepted.task_id != self.task_id:
                raise ValueError(f"{paths.ACCEPTED} is of task {self.accepted.task_id}")
            self._state = initial(self.accepted.task)
            self._reader = journal.Reader(f"{self.directory}/{paths.JOURNAL}")
        except tasks.NoSuchTask:
            self.error = f"cannot read {self.directory}/{paths.ACCEPTED}: there is no such file"
        except FileNotFoundError:
            pass  # accepted, and nobody has taken charge yet
        except Exception as error:  # whatever lies on a disk: one task must not take the others down
            self.error = f"cannot read task {self.task_id} in {self.directory}: {_words(error)}"
        self._fold()

    def follow(self) -> None:
        """Read what was appended to the journal."""
        self._fold()
        if self.error:  # the writer may have cut off a torn end or written the journal anew: only then is it damage
            self.load()

    def _fold(self) -> None:
        if self._reader is None or self._state is None or self.error:
            return
        try:
            while records := self._reader.new():
                for record in records:
                    self._state = evolve(self._state, record)
        except (journal.Damaged, journal.WrongVersion) as error:
            self.error = str(error)
        except Exception as error:  # as above: records nobody wrote
            at = f"{self.directory}/{paths.JOURNAL} after record {self._state.seq}"
            self.error = f"cannot understand {at}: {_words(error)}"

    def close(self) -> None:
        """Keep the status only."""
        self._status = self.status
        if self._reader:
            self._reader.close()
        self.accepted = self._state = self._reader = None


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


class Tasks:
    """Every task below some roots. `catch_up` when `fileno` is readable, and before answering anybody."""

    def __init__(
        self,
        roots: list[str],
        ended: Callable[[Observed], None] = lambda task: None,
        news: Callable[[Observed], None] = lambda task: None,
    ) -> None:
        """`ended` is told of each task that has ended, or is gone; `news` of each other one when it was read."""
        self.roots = list(dict.fromkeys(os.path.abspath(root) for root in roots))
        self.problems: dict[str, str] = {}  # root -> why its tasks cannot be followed
        self._ended = ended
        self._news = news
        self._tasks: dict[tuple[str, str], Observed] = {}
        self._inotify = INotify(nonblocking=True)
        self._watched: dict[int, str] = {}  # watch -> the root whose tasks directory it is on
        self._parents: dict[int, dict[str, str]] = {}  # watch -> root -> the name that leads to it
        self._followed: dict[int, Observed] = {}
        self._watch_of: dict[tuple[str, str], int] = {}
        for root in self.roots:
            self._watch_root(root)

    def fileno(self) -> int:
        return int(self._inotify.fileno())

    def close(self) -> None:
        for task in self._tasks.values():
            task.close()
        self._inotify.close()

    def __iter__(self) -> Iterator[Observed]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def find(self, task_id: str, root: str | None = None) -> list[Observed]:
        """The tasks of that id: more than one only where several roots have it and none is named."""
        found = (self._tasks.get((each, task_id)) for each in self.roots if root in (None, each))
        return [task for task in found if task is not None]

    def catch_up(self) -> None:
        """Take in what has happened on disk up to now."""
        while events := self._inotify.read(timeout=0):
            changed: dict[int, bool] = {}  # watch of a task -> whether a file was replaced
            for event in events:
                if event.mask & flags.Q_OVERFLOW:
                    self._start_over()
                    return
                if event.wd in self._followed:
                    if event.name in (paths.JOURNAL, paths.ACCEPTED):
                        changed[event.wd] = changed.get(event.wd, False) or bool(event.mask & _ARRIVED)
                    elif event.mask & flags.IGNORED:
                        self._unfollow(self._followed[event.wd])
                elif event.wd in self._watched:
                    self._in_tasks_directory(event.wd, event.mask, event.name)
                if event.wd in self._parents:
                    self._in_parent(event.wd, event.mask, event.name)
            for watch, replaced in changed.items():
                if watch in self._followed:
                    self._changed(self._followed[watch], replaced)

    def _in_tasks_directory(self, watch: int, mask: int, name: str) -> None:
        root = self._watched[watch]
        if mask & (_GONE | flags.IGNORED):
            self._look_again(root)
        elif mask & flags.ISDIR and mask & _ARRIVED:
            self._found(root, name)
        elif mask & flags.ISDIR and mask & _LEFT:
            self._forget(root, name)

    def _in_parent(self, watch: int, mask: int, name: str) -> None:
        for root, child in list(self._parents[watch].items()):
            if mask & _GONE or name == child:
                self._look_again(root)

    def _look_again(self, root: str) -> None:
        """The root's directories have come or gone."""
        for task in [task for task in self if task.root == root]:
            self._forget(root, task.task_id)
        for watch in [watch for watch, watched in self._watched.items() if watched == root]:
            del self._watched[watch]
            self._remove_watch(watch)
        for watch in [watch for watch, roots in self._parents.items() if root in roots]:
            del self._parents[watch][root]
            if not self._parents[watch]:
                del self._parents[watch]
                self._remove_watch(watch)
        self._watch_root(root)

    def _watch_root(self, root: str) -> None:
        """Watch the root and its tasks directory, or else the nearest directory above that exists."""
        self.problems.pop(root, None)
        place = wanted = paths.tasks_dir(root)
        try:
            watch = self._add_watch(wanted, _WATCH_TASKS)
            while (parent := self._add_watch(place := os.path.dirname(place), _WATCH_PARENT)) is None:
                watch = None
        except OSError as error:
            self.problems[root] = f"cannot follow {wanted}: {_watch_failed(error, place)}"
            return
        # Of the tasks directory, too, its parent tells that it was removed: it does not while a file in it is open.
        child = _child(place, wanted)
        self._parents.setdefault(parent, {})[root] = child
        if watch is None:
            if os.path.isdir(os.path.join(place, child)):  # it came between two looks
                self._look_again(root)
            return
        self._watched[watch] = root
        try:
            for task_id in tasks.task_ids(root):
                self._found(root, task_id)
        except OSError as error:
            self.problems[root] = f"cannot list {wanted}: {error.strerror}"

    def _add_watch(self, path: str, mask: int) -> int | None:
        """None: there is no such directory."""
        try:
            return int(self._inotify.add_watch(path, mask))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise

    def _remove_watch(self, watch: int) -> None:
        try:
            self._inotify.rm_watch(watch)
        except OSError:  # the kernel has removed it already
            pass

    def _found(self, root: str, task_id: str) -> None:
        if task_id.startswith(".") or (root, task_id) in self._tasks:
            return
        task = Observed(root, task_id)
        try:
            watch = self._add_watch(task.directory, _WATCH_TASK)  # first watch, then read: nothing falls between
        except OSError as error:
            task.load()
            task.error = task.error or f"cannot follow {task.directory}: {_watch_failed(error, task.directory)}"
        else:
            if watch is None:
                return  # gone again, or a symbolic link
            self._followed[watch] = task
            self._watch_of[root, task_id] = watch
            task.load()
        self._tasks[root, task_id] = task
        self._retire(task)

    def _changed(self, task: Observed, replaced: bool) -> None:
        if replaced:
            task.load()
        else:
            task.follow()
        self._retire(task)

    def _retire(self, task: Observed) -> None:
        if task.ended and not task.error:
            task.close()
            self._unfollow(task)
            self._ended(task)
        else:
            self._news(task)

    def _unfollow(self, task: Observed) -> None:
        watch = self._watch_of.pop((task.root, task.task_id), None)
        if watch is not None:
            del self._followed[watch]
            self._remove_watch(watch)

    def _forget(self, root: str, task_id: str) -> None:
        task = self._tasks.pop((root, task_id), None)
        if task is not None:
            self._unfollow(task)
            task.close()
            self._ended(task)

    def _start_over(self) -> None:
        """The kernel dropped events: look at everything again, once."""
        while self._inotify.read(timeout=0):
            pass
        for root in self.roots:
            self._look_again(root)


def _child(parent: str, descendant: str) -> str:
    """The first name on the way down from `parent` to `descendant`."""
    return os.path.relpath(descendant, parent).split("/", 1)[0]


def _watch_failed(error: OSError, path: str) -> str:
    if error.errno == errno.ENOSPC:
        return "this user has no inotify watches left; raise fs.inotify.max_user_watches"
    return f"{path}: {error.strerror}"
