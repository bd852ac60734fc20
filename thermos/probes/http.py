"""http: a GET, in the network of the run, is answered with a status and, if asked for, a body that say all is well.

HTTP/1.0 by hand: the answer ends with the connection, and neither a client library's 3 MB nor its 30 ms are worth a
status line in a process that lives as long as the task.
"""

from __future__ import annotations

import _socket

from .kind import LONGEST_ANSWER, shortened
from .tcp import HOST, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thermos.core.task import HttpCheck

    from .kind import Answer, Run


class _Get(Connection):
    def __init__(self, check: HttpCheck, port: int, run: Run) -> None:
        super().__init__(port, run)
        self._check = check
        path = check.path if check.path.startswith("/") else "/" + check.path
        target = "".join(chr(byte) if 32 < byte < 127 else f"%{byte:02X}" for byte in path.encode())
        lines = (f"GET {target} HTTP/1.0", f"Host: {HOST}:{port}", "User-Agent: thermos", "Accept: */*", "", "")
        self._out = "\r\n".join(lines).encode()
        self._in = b""

    @property
    def wants_write(self) -> bool:
        return bool(self._out)

    def go_on(self) -> Answer | None:
        refused = self.refusal()
        if refused is not None:
            return refused
        try:
            if self._out:
                self._out = self._out[self.socket.send(self._out, _socket.MSG_NOSIGNAL) :]
                return None
            more = self.socket.recv(LONGEST_ANSWER)
        except BlockingIOError:
            return None
        except OSError as error:
            return False, f"port {self.port} broke the connection: {error.strerror}"
        self._in += more
        if more and len(self._in) < 4 * LONGEST_ANSWER and not self._has_enough():
            return None
        return self._judge()

    def _has_enough(self) -> bool:
        """The status alone is wanted, and there. A body is whole when the other side closes, or says how long it is."""
        head, end, body = self._in.partition(b"\r\n\r\n")
        if not end:
            return False
        if self._check.body is None:
            return True
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit() and len(value) < 20:
                return len(body) >= int(value)
        return False

    def _judge(self) -> Answer:
        head, _, body = self._in.partition(b"\r\n\r\n")
        words = head.split(b"\r\n", 1)[0].split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit() or len(words[1]) != 3:
            return False, f"port {self.port} does not speak HTTP: {shortened(head.decode(errors='replace'))!r}"
        code = int(words[1])
        if not any(low <= code <= high for low, high in self._check.codes):
            wanted = ", ".join(f"{low}-{high}" if low != high else str(low) for low, high in self._check.codes)
            return False, f"{self._check.path} answered {code}, and not {wanted}"
        wanted_body = self._check.body
        if wanted_body is not None:
            got = body.decode(errors="replace").strip()
            if got.lower() != wanted_body.strip().lower():
                return False, f"{self._check.path} answered {shortened(got)!r}, and not {shortened(wanted_body)!r}"
        return True, ""


def begin(check: HttpCheck, run: Run) -> _Get:
    return _Get(check, run.port(check.port), run)
