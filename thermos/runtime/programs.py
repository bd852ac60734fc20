"""Programs that do for the keeper, or for `run`, what takes libraries too heavy for them: one question, one answer.

The question is JSON on its standard input, the answer JSON on its standard output. What it has to say besides goes to
ours.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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

    def ask(self, question: object) -> Any:
        """Its answer, when it has ended. Raises Cannot."""
        import json

        said = b""
        try:
            os.write(self._question, json.dumps(question).encode() + b"\n")
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
        finally:
            os.close(self._question)
        while more := os.read(self._answer, 1 << 16):
            said += more
        os.close(self._answer)
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            status = 0
        try:
            answer = json.loads(said)
        except ValueError:
            raise Cannot(f"the program that should do it ended with {os.waitstatus_to_exitcode(status)}") from None
        if status:
            raise Cannot(str(answer.get("cannot") or answer))
        return answer

    def dismiss(self) -> None:
        """It is not needed."""
        for fd in (self._question, self._answer):
            os.close(fd)
        try:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def ask(argv: list[str], question: object) -> Any:
    """Start a program, ask it and await its end. Raises Cannot."""
    try:
        return Program(argv).ask(question)
    except OSError as error:
        raise Cannot(f"cannot start {argv[0]}: {error.strerror}") from None
