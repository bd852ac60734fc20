"""Health checks and lines of output: asked and read beside the supervisor's loop, told to it as records.

Nothing in here is remembered: what was learned is in the journal, and a supervisor that starts again asks again.
One descriptor (an epoll) stands for all that is under way; `wake_by` says when something is due.

While a run has not been healthy yet it is asked more often than its interval says, and those extra questions count
only where the answer is good: what waits for it to be healthy need not wait for an interval that was chosen for later.

Where a task has a network of its own, its ports are asked there: on the host's 127.0.0.1 somebody else may answer.
"""

from __future__ import annotations

import _socket
import os
import select
import signal
import sys
from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from sandbox import syscalls
from thermos import paths, probes
from thermos.core import health
from thermos.core.fold import Checks
from thermos.core.records import Checked, Matched, Record
from thermos.core.state import State
from thermos.core.task import Accepted, HealthCheck

from . import identity, reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from thermos.probes.kind import Answer, Attempt

    class Hands(Protocol):
        """What of the world is needed here."""

        def now(self) -> float: ...
        def aid(self, process: int, run: int, argv: list[str], output: int) -> int: ...
        def unaid(self, number: int) -> None: ...


#: Seconds until the first extra question; each waits twice as long as the one before.
_SOON = 0.1

#: Seconds without progress in reading a run's output after its end: a regular expression can take for ever.
_READERS_PATIENCE = 2.0

#: Seconds until a reader is tried again that could not be forked.
_AGAIN = 1.0

#: Seconds for a child to make a socket, which takes it a few milliseconds.
_TO_MAKE_A_SOCKET = 2.0


class _Watched:
    """A run that is checked."""

    def __init__(
        self,
        process: int,
        number: int,
        check: HealthCheck,
        hands: Hands,
        ports: dict[str, int],
        inside: tuple[int, int] | None,
    ) -> None:
        """`inside`: pid and start of a process whose network it is asked in; None: ours."""
        self.process = process
        self.number = number
        self.check = check
        self.attempt: Attempt | None = None
        self.counts = True  # the question that is being asked, or is next
        self.give_up_at = 0.0
        self.regular_at = 0.0  # when the next question is due that counts
        self.soon = _SOON
        self._hands = hands
        self._ports = ports
        self._inside = inside

    def port(self, name: str) -> int:
        return int(name) if name.isdigit() else self._ports[name]

    def socket(self) -> _socket.socket:
        if self._inside is None:
            return _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        return socket_in_the_network_of(*self._inside)

    def start(self, argv: list[str], output: int) -> int:
        return self._hands.aid(self.process, self.number, argv, output)


class _Reader:
    """A child that reads a run's output."""

    def __init__(self, process: int, number: int, child: reading.Child) -> None:
        self.process = process
        self.number = number
        self.child = child
        self.give_up_at: float | None = None  # once the run has ended


class Probes:
    def __init__(self, hands: Hands, accepted: Accepted, state: State) -> None:
        self._hands = hands
        self._accepted = accepted
        self._state = state
        self._epoll = select.epoll()
        self._watched: dict[tuple[int, int], _Watched] = {}
        self._asking: dict[int, _Watched] = {}  # by descriptor
        self._aids: dict[int, _Watched] = {}  # by the number of a command
        self._due: list[tuple[float, int, int]] = []  # a heap: at, process, run
        self._readers: dict[tuple[int, int], _Reader] = {}
        self._answers: list[tuple[_Watched, Answer]] = []
        self._done: set[tuple[int, int]] = set()  # runs whose output has been read to its end
        self._unread: dict[tuple[int, int], float] = {}  # those that have ended, until when a reader is tried for

    def fileno(self) -> int:
        """Readable when something has been answered, or read."""
        return self._epoll.fileno()

    # -- runs come and go

    def begin(self, process: int, run: int) -> None:
        """A run executes its program: it is in the journal."""
        reader = self._readers.get((process, run))
        if reader is not None and reader.give_up_at is not None:
            return  # it has ended, and that is held back
        check = self._accepted.task.processes[process].health
        if check is not None and (process, run) not in self._watched:
            inside = self._network_of(process)
            self._watched[process, run] = _Watched(process, run, check, self._hands, self._accepted.ports, inside)
            heappush(self._due, (self._hands.now(), process, run))
        if self._patterns(process):
            self._read(process, run)

    def begin_all(self) -> None:
        """Every run that is executing, for a supervisor that has just come, or a new keeper."""
        for numbers in (self._state.running, self._state.stopping):
            for process in numbers:
                run = self._state.processes[process].run
                if run is not None and run.state == "RUNNING":
                    self.begin(process, run.number)

    def _network_of(self, process: int) -> tuple[int, int] | None:
        """A process that has the network which the run of a process has, where that is not ours."""
        accepted, run = self._accepted, self._state.processes[process].run
        if accepted.task.sandbox.network in (None, "host") or accepted.isolation_mode == "none":
            return None
        return (run.pid, run.ticks) if run is not None and run.pid is not None and run.ticks is not None else None

    def end(self, process: int, run: int) -> None:
        """A run has ended: it is in the journal."""
        self._forget(process, run)
        reader = self._readers.get((process, run))
        if reader is not None:
            self._stop_reading(reader)
        self._done.discard((process, run))
        self._unread.pop((process, run), None)
        if len(self._due) > 2 * len(self._watched) + 16:  # of runs that are over
            self._due = [entry for entry in self._due if entry[1:] in self._watched or self._is_running(*entry[1:])]
            heapify(self._due)

    def _forget(self, process: int, run: int) -> None:
        watched = self._watched.pop((process, run), None)
        if watched is not None:
            self._abandon(watched)

    def reads(self, process: int, run: int) -> bool:
        """Whether the output of a run, which has ended, is still being read."""
        key = (process, run)
        if key in self._done or not self._patterns(process):
            return False
        self._forget(process, run)  # what has ended answers nothing
        now = self._hands.now()
        if key not in self._readers and not self._read(process, run):
            return now < self._unread.setdefault(key, now + _READERS_PATIENCE)
        reader = self._readers[key]
        if reader.give_up_at is None:
            reader.child.finish()
            reader.give_up_at = now + _READERS_PATIENCE
        return True

    # -- the loop's part

    def wake_by(self, wake_at: float | None) -> float | None:
        """Ask what is due; the earlier of `wake_at` and of when to look here again."""
        now = self._hands.now()
        still = bool(self._state.paused_at)  # what stands still answers nothing
        while not still and self._due and self._due[0][0] <= now:
            _, process, run = heappop(self._due)
            watched = self._watched.get((process, run))
            if not self._is_running(process, run):
                self._forget(process, run)  # it was abandoned, say
                continue
            if watched is not None and process in self._state.running and watched.attempt is None:
                self._ask(watched, now)
            if self._patterns(process):
                self._read(process, run)
        times = [watched.give_up_at for watched in self._asking.values()]
        times += [reader.give_up_at for reader in self._readers.values() if reader.give_up_at is not None]
        times += self._unread.values()
        if self._due and not still:
            times.append(self._due[0][0])
        if self._answers:
            times.append(now)
        if wake_at is not None:
            times.append(wake_at)
        return min(times, default=None)

    def news(self) -> Iterator[Record]:
        """What has been answered and read since, as records that fit the state as it is."""
        for fd, _ in self._epoll.poll(0):
            watched = self._asking.get(fd)
            if watched is not None:
                self._go_on(watched)
                continue
            for reader in [reader for reader in self._readers.values() if reader.child.fileno() == fd]:
                yield from self._matches(reader)
        now = self._hands.now()
        for watched in [watched for watched in self._asking.values() if watched.give_up_at <= now]:
            self._abandon(watched)
            self._answers.append((watched, (False, f"no answer within {watched.check.timeout:g} s")))
        for reader in list(self._readers.values()):
            if reader.give_up_at is not None and reader.give_up_at <= now:
                self._stop_reading(reader)
        answers, self._answers = self._answers, []
        for watched, answer in answers:
            yield from self._heed(watched, answer, now)

    # -- health checks

    def _ask(self, watched: _Watched, now: float) -> None:
        watched.counts = now >= watched.regular_at
        try:
            attempt = probes.begin(watched.check, watched)
        except PermissionError as error:  # what makes itself unreadable, say, and is asked by a plain user
            self._answers.append((watched, (False, f"cannot enter its network: {error.strerror}")))
            return
        except OSError:  # no descriptor, say: that says nothing about the process
            heappush(self._due, (now + _AGAIN, watched.process, watched.number))
            return
        watched.attempt = attempt
        watched.give_up_at = now + watched.check.timeout
        self._asking[attempt.fileno()] = watched
        if attempt.aid:
            self._aids[attempt.aid] = watched
        self._epoll.register(attempt.fileno(), self._events(attempt))

    @staticmethod
    def _events(attempt: Attempt) -> int:
        return select.EPOLLOUT if attempt.wants_write else select.EPOLLIN

    def _go_on(self, watched: _Watched) -> None:
        attempt = watched.attempt
        assert attempt is not None
        answer = attempt.go_on()
        if answer is not None:
            self._close(watched)
            self._answers.append((watched, answer))
        elif attempt.over:
            self._epoll.unregister(attempt.fileno())  # its end would wake us for ever
        else:
            self._epoll.modify(attempt.fileno(), self._events(attempt))

    def on_aided(self, number: int, status: int) -> None:
        """A command has ended."""
        watched = self._aids.get(number)
        if watched is not None and watched.attempt is not None:
            answer = watched.attempt.aided(status)
            self._close(watched)
            self._answers.append((watched, answer))

    def forget_aids(self) -> None:
        """The keeper died, and nobody will tell how they ended: ask again."""
        for watched in list(self._aids.values()):
            self._close(watched)
            heappush(self._due, (self._hands.now(), watched.process, watched.number))

    def _close(self, watched: _Watched) -> None:
        attempt, watched.attempt = watched.attempt, None
        if attempt is not None:
            self._asking.pop(attempt.fileno(), None)
            self._aids.pop(attempt.aid, None)
            try:
                self._epoll.unregister(attempt.fileno())
            except FileNotFoundError:
                pass  # it had nothing more to say
            attempt.close()

    def _abandon(self, watched: _Watched) -> None:
        if watched.attempt is not None and watched.attempt.aid:
            self._hands.unaid(watched.attempt.aid)
        self._close(watched)

    def _heed(self, watched: _Watched, answer: Answer, now: float) -> Iterator[Record]:
        run = self._state.processes[watched.process].run
        key = (watched.process, watched.number)
        if run is None or run.number != watched.number or run.state != "RUNNING" or key not in self._watched:
            return
        if self._state.paused_at:
            heappush(self._due, (now, *key))
            return
        ok, why = answer
        before = run.checks or Checks()
        if ok or watched.counts:
            if health.after(before, watched.check, ok, why) is not before:
                yield Checked(at=now, process=watched.process, run=watched.number, ok=ok, why=why)
            watched.regular_at = now + watched.check.interval
        if watched.counts:
            watched.soon = _SOON
        due = watched.regular_at
        if run.checks is None or not run.checks.passed:
            due = min(due, now + watched.soon)
            watched.soon *= 2
        heappush(self._due, (due, *key))

    # -- output

    def _patterns(self, process: int) -> list[str]:
        """What is waited for in the output of a process, and has not been seen."""
        whats = self._state.graph.milestones.get(process, ())
        reached = self._state.processes[process].reached
        return [what.removeprefix("log:") for what in whats if what.startswith("log:") and what not in reached]

    def _is_running(self, process: int, number: int) -> bool:
        run = self._state.processes[process].run
        return run is not None and run.number == number and run.state == "RUNNING"

    def _read(self, process: int, run: int) -> bool:
        """Begin to read a run's output, unless that has begun. False: it cannot be, now."""
        if (process, run) in self._readers:
            return True
        accepted = self._accepted
        definition = accepted.task.processes[process]
        credentials = (accepted.uid, accepted.gid, accepted.groups)
        if definition.user is not None:
            credentials = accepted.users.get(definition.user, credentials)
        directory = paths.log_dir(accepted.sandbox, definition.name, run)
        try:
            child = reading.start(directory, self._patterns(process), credentials)
        except OSError:  # no pid, no memory, no descriptor
            heappush(self._due, (self._hands.now() + _AGAIN, process, run))
            return False
        reader = self._readers[process, run] = _Reader(process, run, child)
        self._epoll.register(reader.child.fileno(), select.EPOLLIN)
        return True

    def _matches(self, reader: _Reader) -> Iterator[Record]:
        patterns = reader.child.matched()
        if reader.give_up_at is not None:
            reader.give_up_at = self._hands.now() + _READERS_PATIENCE  # it is not stuck
        for pattern in patterns or ():
            if pattern in self._patterns(reader.process):
                yield Matched(at=self._hands.now(), process=reader.process, run=reader.number, pattern=pattern)
        if patterns is None:
            self._stop_reading(reader)

    def _stop_reading(self, reader: _Reader) -> None:
        key = (reader.process, reader.number)
        del self._readers[key]
        self._epoll.unregister(reader.child.fileno())
        if reader.child.close(signal.SIGKILL) or reader.give_up_at is not None:
            self._done.add(key)
        else:  # the host lacked something, say: the file is still there
            heappush(self._due, (self._hands.now() + _AGAIN, *key))


def socket_in_the_network_of(pid: int, ticks: int) -> _socket.socket:
    """A socket for TCP in the network of a process, which began at `ticks`. Raises OSError.

    A socket stays in the network that it was made in. A child makes it: from the user namespace that a plain user has
    to enter for that nobody comes back.
    """
    pidfd = os.pidfd_open(pid)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        if identity.ticks(pid) != ticks:
            raise ProcessLookupError(pid)
        ours.settimeout(_TO_MAKE_A_SOCKET)
        child = os.fork()
        if not child:
            try:
                theirs.sendmsg(*_made_inside(pid, pidfd))
            finally:
                os._exit(0)
        try:
            theirs.close()  # or its death would not be noticed
            return _taken(ours)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    finally:
        os.close(pidfd)
        theirs.close()
        ours.close()


def _made_inside(pid: int, pidfd: int) -> tuple[list[bytes], list[tuple[int, int, bytes]]]:
    """The child's message: why not, as an errno, or 0 and the socket."""
    try:
        if not _is_ours(pid):
            syscalls.setns(pidfd, syscalls.CLONE_NEWNET | (syscalls.CLONE_NEWUSER if os.geteuid() else 0))
        made = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    except OSError as error:
        return [b"%d" % (error.errno or 0)], []
    right = made.detach().to_bytes(4, sys.byteorder)
    return [b"0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, right)]


def _is_ours(pid: int) -> bool:
    """Whether a process has our network: best effort has left its own out."""
    return os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino


def _taken(channel: _socket.socket) -> _socket.socket:
    said, rights, *_ = channel.recvmsg(16, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    for _, _, right in rights:
        return _socket.socket(fileno=int.from_bytes(right, sys.byteorder))
    number = int(said or b"0")
    raise OSError(number, os.strerror(number), "setns") if number else ProcessLookupError("setns")
