"""Programs that do for the keeper, or for `run`, what takes libraries too heavy for them: one question, one answer.

The question is JSON on its standard input, the answer JSON on its standard output. What it has to say besides goes to
ours.
"""

from __future__ import annotations

import errno
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


#: Seconds for a program to do what it is asked. The longest wait in one of them, for the networks' lock, is 30.
PATIENCE = 60.0


class Cannot(Exception):
    """It could not; the text says why."""


class Program:
    """One that has been started, and imports what it needs while we do something else."""

    def __init__(self, argv: list[str]) -> None:
        """Raises OSError."""
        theirs_in, self._question = os.pipe2(os.O_CLOEXEC)
        try:
            self._answer, theirs_out = os.pipe2(os.O_CLOEXEC)
            try:
                actions = [(os.POSIX_SPAWN_DUP2, theirs_in, 0), (os.POSIX_SPAWN_DUP2, theirs_out, 1)]
                self.pid = os.posix_spawn(
                    argv[0], argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, file_actions=actions, setsigmask=()
                )
            finally:
                os.close(theirs_out)
        except OSError:
            os.close(self._question)
            raise
        finally:
            os.close(theirs_in)

    def ask(self, question: object, patience: float = PATIENCE, *, spared: bool = False) -> Any:
        """Its answer, when it has ended. One that takes longer than `patience`, in seconds, is killed; or left to go on
        by itself, where it is to be `spared`. Raises Cannot.
        """
        import json

        until = time.monotonic() + patience
        try:
            try:
                said = self._talk(json.dumps(question).encode() + b"\n", until)
            finally:
                self._close()
            status = self._end(until)
        except TimeoutError:
            if not spared:
                self.dismiss()
            what = "goes on by itself" if spared else "was killed"
            raise Cannot(f"the program that should do it took longer than {patience:g} seconds, and {what}") from None
        answer: Any
        try:
            answer = json.loads(said)
        except ValueError:
            raise Cannot(f"the program that should do it ended with {os.waitstatus_to_exitcode(status)}") from None
        if status:
            raise Cannot(str(answer.get("cannot", answer)))
        return answer

    def _talk(self, asked: bytes, until: float) -> bytes:
        """Ask all of it, hear all of the answer. Raises TimeoutError."""
        os.set_blocking(self._question, False)
        poll = select.poll()
        poll.register(self._answer, select.POLLIN)
        poll.register(self._question, select.POLLOUT)
        said = b""
        while True:
            for fd, _ in _await(poll, until):
                if fd == self._answer:
                    more = os.read(fd, 1 << 16)
                    if not more:
                        return said
                    said += more
                    continue
                try:
                    asked = asked[os.write(fd, asked) :]
                except OSError as error:
                    if error.errno != errno.EPIPE:
                        raise
                    asked = b""  # it says why, or its end does
                if not asked:
                    poll.unregister(fd)
                    self._question = _closed(fd)

    def _end(self, until: float) -> int:
        """Its wait status, when it has ended. Raises TimeoutError."""
        pid = self.pid
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            self.pid = 0
            return 0  # it has been reaped
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            _await(poll, until)
            self.pid = 0
            return os.waitpid(pid, 0)[1]
        except ChildProcessError:
            return 0
        finally:
            os.close(pidfd)

    def _close(self) -> None:
        self._question, self._answer = _closed(self._question), _closed(self._answer)

    def dismiss(self) -> None:
        """It is not needed, or not any more."""
        self._close()
        pid, self.pid = self.pid, 0
        if not pid:
            return
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def _closed(fd: int) -> int:
    if fd >= 0:
        os.close(fd)
    return -1


def _await(poll: select.poll, until: float) -> list[tuple[int, int]]:
    """What is ready. Raises TimeoutError."""
    ready = poll.poll(max(until - time.monotonic(), 0) * 1000)
    if not ready:
        raise TimeoutError
    return ready


def ask(argv: list[str], question: object, patience: float = PATIENCE, spared: bool = False) -> Any:
    """Start a program, ask it and await its end. Raises Cannot."""
    try:
        program = Program(argv)
    except OSError as error:
        raise Cannot(f"cannot start {argv[0]}: {error.strerror}") from None
    try:
        return program.ask(question, patience, spared=spared)
    except OSError as error:
        raise Cannot(f"cannot talk to {argv[0]}: {error.strerror}") from None
