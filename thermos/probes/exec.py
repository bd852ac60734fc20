"""exec: a command in the sandbox of the process exits with 0."""

from __future__ import annotations

import os

from .kind import LONGEST_ANSWER, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thermos.core.task import ExecCheck

    from .kind import Answer, Run


#: Pieces read at a time: what writes for ever must not keep the supervisor.
_PIECES = 16


class _Command:
    wants_write = False

    def __init__(self, argv: list[str], run: Run) -> None:
        self._output = b""
        self.over = False
        self._reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writer, True)
        try:
            self.aid = run.start(argv, writer)
        except OSError:
            os.close(self._reader)
            raise
        finally:
            os.close(writer)

    def fileno(self) -> int:
        return self._reader

    def go_on(self) -> Answer | None:
        """It wrote something; how it ends is told by `aided`. What is too much is thrown away, or it would block."""
        for _ in range(_PIECES):
            try:
                more = os.read(self._reader, 1 << 16)
            except BlockingIOError:
                return None
            if not more:
                self.over = True
                return None
            self._output = (self._output + more)[:LONGEST_ANSWER]
        return None

    def aided(self, status: int) -> Answer:
        self.go_on()
        if status == 0:
            return True, ""
        code = os.waitstatus_to_exitcode(status)
        how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        said = shortened(self._output.decode(errors="replace"))
        return False, f"the command {how}" + (f": {said}" if said else "")

    def close(self) -> None:
        os.close(self._reader)


def begin(check: ExecCheck, run: Run) -> _Command:
    return _Command(list(check.argv) if check.argv else ["/bin/bash", "-c", check.cmdline or ""], run)
