"""A child that reads what a run writes, and says when a line matches.

A child, because a regular expression may take for ever (`(a+)+$`), because only the user who wrote a file should read
it, and because few tasks need it. It dies with its parent, and when what it was to look for has been found.
"""

from __future__ import annotations

import os
import select
import signal
import stat

from sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_LINE = 1 << 16  # bytes; the rest of a longer one is not looked at
_PIECE = 1 << 16
_FILES = ("stdout", "stderr")


class Child:
    """The parent's side. `fileno` becomes readable when something matched, or when all has been read."""

    def __init__(self, pid: int, reader: int, control: int, patterns: Sequence[str]) -> None:
        self._pid = pid
        self._reader = reader
        self._control = control
        self._patterns = patterns
        self._said = b""

    def fileno(self) -> int:
        return self._reader

    def matched(self) -> list[str] | None:
        """Patterns that lines have matched since; None: it has ended."""
        try:
            said = os.read(self._reader, 4096)
        except BlockingIOError:
            return []
        if not said:
            return None
        whole, space, self._said = (self._said + said).rpartition(b" ")
        return [self._patterns[int(number)] for number in whole.split()] if space else []

    def finish(self) -> None:
        """Nothing more will be written: it reads to the end of what there is, and ends."""
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    def close(self, signo: int = signal.SIGKILL) -> bool:
        """Whether it had read all there was."""
        self.finish()
        os.close(self._reader)
        try:
            os.kill(self._pid, signo)
            return os.waitpid(self._pid, 0)[1] == 0
        except (ProcessLookupError, ChildProcessError):
            return False


def start(directory: str, patterns: Sequence[str], credentials: tuple[int, int, Sequence[int]]) -> Child:
    """Read the log files of a run in `directory` as the user they belong to. Raises OSError."""
    reader, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    their_control, control = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        for fd in (reader, theirs, their_control, control):
            os.close(fd)
        raise
    if not pid:
        try:
            _live(directory, patterns, credentials, theirs, their_control, parent)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(theirs)
    os.close(their_control)
    return Child(pid, reader, control, patterns)


def _live(
    directory: str,
    patterns: Sequence[str],
    credentials: tuple[int, int, Sequence[int]],
    out: int,
    control: int,
    parent: int,
) -> None:
    import re
    import warnings

    import inotify_simple

    low, high = sorted((out, control))
    for first, last in ((3, low), (low + 1, high), (high + 1, 1 << 20)):
        os.closerange(first, last)  # what the supervisor holds: its journal, its keeper, pidfds
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.set_blocking(out, True)
    notify = inotify_simple.INotify(nonblocking=True)
    _become(credentials)
    syscalls.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        return
    os.nice(5)
    flags = inotify_simple.flags.MODIFY | inotify_simple.flags.CLOSE_WRITE
    files = [_File(f"{directory}/{name}") for name in _FILES]
    for file in files:
        if file.fd >= 0:
            notify.add_watch(f"/proc/self/fd/{file.fd}", flags)
    warnings.simplefilter("ignore")  # of what another Python may read otherwise: whoever wrote it does not see it here
    wanted = {number: re.compile(pattern) for number, pattern in enumerate(patterns)}
    poll = select.poll()
    poll.register(notify.fileno(), select.POLLIN)
    poll.register(control, select.POLLIN)
    over = False
    while wanted:
        for line in (line for file in files for line in file.lines(over)):
            text = line.decode(errors="replace")
            for number in [number for number, pattern in wanted.items() if pattern.search(text)]:
                del wanted[number]
                os.write(out, b"%d " % number)
        dry = all(file.dry for file in files)
        if over and dry:
            return
        if over:
            os.write(out, b" ")  # it goes on
        elif wanted:
            over = any(fd == control for fd, _ in poll.poll(None if dry else 0))
            for file in files if over else ():
                file.end_here()
            notify.read(timeout=0)


def _become(credentials: tuple[int, int, Sequence[int]]) -> None:
    uid, gid, groups = credentials
    if os.geteuid() == 0 and uid != 0:
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    syscalls.set_no_new_privs()


class _File:
    """One log file, read as it grows."""

    def __init__(self, path: str) -> None:
        self._rest = b""
        self._at = 0
        self._end: int | None = None  # where it ends, when its writer is gone
        self.dry = True  # there was nothing more when it was read last
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            if not stat.S_ISREG(os.fstat(self.fd).st_mode):
                os.close(self.fd)
                self.fd = -1
        except OSError:
            self.fd = -1  # removed, or replaced by the task: it has nothing to say

    def end_here(self) -> None:
        """What children of its writer write from now on is not looked at."""
        if self.fd >= 0:
            self._end = os.fstat(self.fd).st_size
            self.dry = False

    def lines(self, over: bool) -> Iterator[bytes]:
        """Some of those written since the last call; with `over`, at the end, also one that has no end of its own."""
        if self.fd < 0:
            return
        if os.fstat(self.fd).st_size < self._at:
            self._at, self._rest = 0, b""  # it was truncated
        length = _PIECE if self._end is None else min(_PIECE, max(self._end - self._at, 0))
        more = os.pread(self.fd, length, self._at)
        self._at += len(more)
        *lines, self._rest = (self._rest + more).split(b"\n")
        yield from (line[:LONGEST_LINE] for line in lines)
        self._rest = self._rest[:LONGEST_LINE]
        self.dry = not more
        if over and self.dry and self._rest:
            last, self._rest = self._rest, b""
            yield last
