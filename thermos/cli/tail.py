"""`thermos tail`: show and follow what processes wrote."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import msgspec
from inotify_simple import INotify, flags

from thermos import paths
from thermos.checkpoint import follow, tasks
from thermos.config.wording import printable
from thermos.core.evolve import evolve
from thermos.core.state import State, initial
from thermos.core.task import Accepted

from .kind import JSON, TASK_ID, Argument, Cannot, Option

HELP = """Show the end of what each process wrote in its newest run.

Lines of several processes are marked PROCESS/RUN STREAM|. With --follow, go on through new runs until the task, or
every process named, can write no more.
"""

ARGUMENTS = (TASK_ID, Argument("process", "Names of processes (default: all).", many=True, required=False))

OPTIONS = (
    Option("follow", "Go on with what is written.", "flag", short="f"),
    Option("lines", "How many of the last lines to begin with.", "number", short="n", metavar="LINES", default=10),
    Option("stdout", "Only standard output.", "flag"),
    Option("stderr", "Only standard error.", "flag"),
    Option("run", "Only this run, counted from 0.", "number", metavar="N"),
    JSON,
)

_BLOCK = 1 << 16
_CHUNK = 1 << 20


class Log:
    """One stream of one run, open for reading."""

    def __init__(self, fd: int, process: str, run: int, stream: str) -> None:
        self.fd = fd
        self.process = process
        self.run = run
        self.stream = stream
        self.offset = 0
        self.unfinished = b""  # a line whose end has not come yet

    def skip_to_last(self, lines: int) -> None:
        """Go to where the last lines begin, looking at no more of the file than it takes."""
        position = os.fstat(self.fd).st_size
        if lines and position and os.pread(self.fd, 1, position - 1) == b"\n":
            lines += 1  # the newline that ends the last line begins none
        while lines and position:
            begin = max(position - _BLOCK, 0)
            block = os.pread(self.fd, position - begin, begin)
            newlines = block.count(b"\n")
            if newlines >= lines:
                for _ in range(lines):
                    block = block[: block.rindex(b"\n")]
                self.offset = begin + len(block) + 1
                return
            lines -= newlines
            position = begin
        self.offset = position

    def copy(self, show: Callable[[Log, bytes], None]) -> None:
        """Show what was written since the last time."""
        if self.offset and os.fstat(self.fd).st_size < self.offset:
            self.offset = 0  # it was truncated
        while chunk := os.pread(self.fd, _CHUNK, self.offset):
            self.offset += len(chunk)
            show(self, chunk)


def run(given: dict[str, Any]) -> int:
    accepted = tasks.read_accepted(given["root"], given["task_id"])
    chosen = _chosen(accepted, given["process"])
    show = _shower(sys.stdout.buffer, given["json"], len(chosen) > 1)
    streams = tuple(stream for stream in ("stdout", "stderr") if given[stream]) or ("stdout", "stderr")
    with INotify() as changes:
        tail = _Tail(accepted, chosen, streams, given["run"], show, changes if given["follow"] else None)
        if given["follow"]:
            _follow(given["root"], accepted, tail, given["lines"])
        else:
            tail.begin(tasks.read_state(given["root"], accepted), given["lines"])
            tail.finish()
    return 1 if tail.unreadable else 0


def _chosen(accepted: Accepted, named: Sequence[str]) -> tuple[int, ...]:
    names = [process.name for process in accepted.task.processes]
    for name in named:
        if name not in names:
            raise Cannot(f"cannot show {name!r}: the processes of {accepted.task_id} are {', '.join(names)}")
    return tuple(number for number, name in enumerate(names) if not named or name in named)


def _follow(root: str, accepted: Accepted, tail: _Tail, lines: int) -> None:
    """Reads the journal first and the logs after it: what a run wrote is there before the record of its end."""
    state = initial(accepted.task)
    begun = warned = False
    with follow.Follower(root, accepted.task_id) as journal:
        waiting = select.poll()
        waiting.register(journal, select.POLLIN)
        waiting.register(tail.changes_fd, select.POLLIN)
        while True:
            for record in journal.new():
                evolve(state, record)
            if not begun:
                tail.begin(state, lines)
                begun = True
            if tail.advance(state):
                return
            in_charge = tasks.supervised(root, accepted.task_id)
            if not in_charge and not warned:
                print(f"nobody is in charge of {accepted.task_id}: no new run begins", file=sys.stderr)
            warned = not in_charge
            waiting.poll()


class _Tail:
    """The logs being shown, and the runs whose logs are still to come."""

    def __init__(
        self,
        accepted: Accepted,
        chosen: tuple[int, ...],
        streams: tuple[str, ...],
        only_run: int | None,
        show: Callable[[Log, bytes], None],
        changes: INotify | None,
    ) -> None:
        self._accepted = accepted
        self._names = {number: accepted.task.processes[number].name for number in chosen}
        self._streams = streams
        self._only_run = only_run
        self._show = show
        self._changes = changes
        self._next: dict[int, int] = {}  # of each process the run that comes next
        self._runs: list[tuple[int, int]] = []  # process and run: begun, and not known to be over
        self._logs: dict[tuple[int, int, str], Log] = {}
        self.unreadable: set[tuple[int, int, str]] = set()  # said once; one process's must not hide the others'

    @property
    def changes_fd(self) -> int:
        assert self._changes is not None
        return self._changes.fileno()

    def begin(self, state: State, lines: int) -> None:
        """Show the last lines of the run chosen, or the newest, of each process."""
        for number, name in self._names.items():
            launches = state.processes[number].launches
            run = launches - 1 if self._only_run is None else self._only_run
            self._next[number] = max(run, 0)
            if 0 <= run < launches:
                self._runs.append((number, run))
                self._next[number] += 1
            elif self._changes is None:
                runs = f"its runs are 0 to {launches - 1}" if launches else "it has not been started"
                wanted = name if self._only_run is None else f"{name}/{run}"
                print(f"nothing to show of {printable(wanted)}: {runs}", file=sys.stderr)
        self._open(lines)
        self._copy()

    def advance(self, state: State) -> bool:
        """Show what is new. True once nothing can follow."""
        if self._changes is not None:
            list(self._changes.read(timeout=0))  # which log it was does not matter: all are looked at
        for number in self._names:
            last = state.processes[number].launches if self._only_run is None else self._only_run + 1
            while self._next[number] < min(last, state.processes[number].launches):
                self._runs.append((number, self._next[number]))
                self._next[number] += 1
        self._open(None)
        self._copy()
        self._close([run for run in self._runs if state.ended or _is_over(state, *run)])
        return not self._runs and (state.ended or all(self._is_done(state, number) for number in self._names))

    def finish(self) -> None:
        self._close(self._runs)
        sys.stdout.buffer.flush()

    def _is_done(self, state: State, number: int) -> bool:
        if self._only_run is not None and self._next[number] > self._only_run:
            return True
        return state.processes[number].status in ("finished", "failed")

    def _open(self, lines: int | None) -> None:
        """Open the logs that have appeared; at their last lines, or where they begin."""
        for number, run in self._runs:
            for stream in self._streams:
                if (number, run, stream) in self._logs or (number, run, stream) in self.unreadable:
                    continue
                try:
                    fd = _open_log(self._accepted.sandbox, self._names[number], run, stream)
                except Cannot as error:
                    self.unreadable.add((number, run, stream))
                    print(error, file=sys.stderr)
                    continue
                if fd is None:
                    continue
                log = Log(fd, self._names[number], run, stream)
                if self._changes is not None:
                    self._changes.add_watch(f"/proc/self/fd/{fd}", flags.MODIFY)
                if lines is not None:
                    log.skip_to_last(lines)
                self._logs[number, run, stream] = log

    def _copy(self) -> None:
        for log in self._logs.values():
            log.copy(self._show)
            if self._changes is None:
                self._end_line(log)
        sys.stdout.buffer.flush()

    def _close(self, over: list[tuple[int, int]]) -> None:
        for number, run in over:
            for stream in self._streams:
                log = self._logs.pop((number, run, stream), None)
                if log is not None:
                    self._end_line(log)
                    os.close(log.fd)
        self._runs = [run for run in self._runs if run not in over]

    def _end_line(self, log: Log) -> None:
        """Show a last line that has no newline."""
        if log.unfinished:
            self._show(log, b"\n")


def _is_over(state: State, number: int, run: int) -> bool:
    """Whether nothing of a run lives that could still write."""
    newest = state.processes[number].run
    if newest is None or newest.number != run:
        return True
    return newest.ended_at is not None and not newest.lingers


def _open_log(sandbox: str, process: str, run: int, stream: str) -> int | None:
    """A descriptor of one log; None where it is not there.

    The directories below the sandbox are within the task's reach, so no symbolic link is followed there, and
    nothing but a regular file is read: this may be run by root.
    """
    path = f"{paths.log_dir(sandbox, process, run)}/{stream}"
    directory = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        at = os.open(sandbox, directory)
        try:
            for name in (paths.LOGS, process, str(run)):
                below = os.open(name, directory | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            fd = os.open(stream, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        finally:
            os.close(at)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Cannot(f"cannot read {path}: {os.strerror(error.errno or 0)}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Cannot(f"cannot read {path}: not a regular file")
    return fd


def _shower(out: BinaryIO, as_json: bool, marked: bool) -> Callable[[Log, bytes], None]:
    """What shows a chunk of a log: bytes as they come, marked lines, or JSON lines."""

    def show_lines(log: Log, chunk: bytes) -> None:
        lines = (log.unfinished + chunk).split(b"\n")
        log.unfinished = lines.pop()
        if len(log.unfinished) > _CHUNK:  # no line that long is held back
            lines.append(log.unfinished)
            log.unfinished = b""
        for line in lines:
            out.write(_as_json(log, line) if as_json else _mark(log) + line + b"\n")

    def show_bytes(log: Log, chunk: bytes) -> None:
        out.write(chunk)

    return show_lines if as_json or marked else show_bytes


def _mark(log: Log) -> bytes:
    return f"{printable(log.process)}/{log.run} {log.stream}| ".encode()


def _as_json(log: Log, line: bytes) -> bytes:
    text = line.decode(errors="replace")
    return msgspec.json.encode({"process": log.process, "run": log.run, "stream": log.stream, "line": text}) + b"\n"
