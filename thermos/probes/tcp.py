"""tcp: somebody accepts connections on a port, in the network that the run has."""

from __future__ import annotations

import _socket
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thermos.core.task import TcpCheck

    from .kind import Answer, Run

HOST = "127.0.0.1"


class Connection:
    """A connection being made."""

    aid = 0
    over = False

    def __init__(self, port: int, run: Run) -> None:
        self.port = port
        self.socket = run.socket()
        self.socket.setblocking(False)
        self._error = self.socket.connect_ex((HOST, port))
        if self._error == errno.EINPROGRESS:
            self._error = 0

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def wants_write(self) -> bool:
        return True

    def go_on(self) -> Answer | None:
        return self.refusal() or (True, "")

    def refusal(self) -> Answer | None:
        """Why there is no connection, once the socket is ready."""
        error = self._error or self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        return (False, f"cannot connect to port {self.port}: {os.strerror(error).lower()}") if error else None

    def aided(self, status: int) -> Answer:
        raise AssertionError("no command answers this")

    def close(self) -> None:
        self.socket.close()


def begin(check: TcpCheck, run: Run) -> Connection:
    return Connection(run.port(check.port), run)
