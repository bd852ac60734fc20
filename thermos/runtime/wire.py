"""Messages between keeper and supervisor: marshalled tuples over a stream socket, with descriptors beside them.

Only the lightest modules: both ends import it, and one of them is the keeper.
"""

from __future__ import annotations

import _socket
import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: Descriptors that fit beside one message (the kernel's SCM_MAX_FD is 253).
MOST_FDS = 200


#: Stands after those that came where the kernel could not give us all of a message's: the others' stay the others'.
_LOST = -1


class Closed(Exception):
    """The other end is gone."""


class Wire:
    """One end. Never blocks: what the kernel does not take yet waits in `_out`, see `wants_write`."""

    def __init__(self, fd: int) -> None:
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        self._socket.setblocking(False)
        self._in = b""
        self._fds: list[int] = []
        self._out: list[tuple[bytes, tuple[int, ...]]] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        return bool(self._out)

    def send(self, message: tuple[Any, ...], fds: Sequence[int] = ()) -> None:
        """Send a message: its name, then ints, strings, None, tuples, lists or dicts.

        Descriptors are the other end's once it has it; the caller still closes its own.
        A dead other end is not this call's business: `receive` says so.
        """
        body = marshal.dumps((*message, len(fds)))
        frame = len(body).to_bytes(4, "little") + body
        if self._out:
            self._out.append((frame, tuple(map(_duplicate, fds))))
            return
        sent = self._push(frame, fds)
        if sent < len(frame):
            self._out.append((frame[sent:], () if sent else tuple(map(_duplicate, fds))))

    def flush(self) -> None:
        """Send what waited. Call it when the descriptor is writable."""
        while self._out:
            frame, fds = self._out[0]
            sent = self._push(frame, fds)
            if sent:
                for fd in fds:
                    _close(fd)
                fds = ()
            if sent < len(frame):
                self._out[0] = (frame[sent:], fds)
                return
            del self._out[0]

    def _push(self, frame: bytes, fds: Sequence[int]) -> int:
        beside = []
        if fds:
            packed = b"".join(fd.to_bytes(4, "little") for fd in fds)
            beside = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)]
        try:
            return self._socket.sendmsg([frame], beside, _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError:
            return len(frame)

    def receive(self) -> list[tuple[tuple[Any, ...], tuple[int, ...]]]:
        """The messages that have come, each with its descriptors: fewer of them where we may open no more files.

        Raises Closed.
        """
        closed = False
        while True:
            try:
                data, beside, flags, _ = self._socket.recvmsg(
                    1 << 16, _socket.CMSG_SPACE(MOST_FDS * 4), _socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                break
            except OSError:
                closed = True
                break
            for _, _, packed in beside:
                self._fds += [int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed) - 3, 4)]
            if flags & _socket.MSG_CTRUNC:
                self._fds.append(_LOST)
            if not data:
                closed = True
                break
            self._in += data
            if len(data) < 1 << 16:
                break
        messages: list[tuple[tuple[Any, ...], tuple[int, ...]]] = []
        at = 0
        while len(self._in) - at >= 4:
            end = at + 4 + int.from_bytes(self._in[at : at + 4], "little")
            if end > len(self._in):
                break
            *message, count = marshal.loads(self._in[at + 4 : end])
            messages.append((tuple(message), self._beside(count)))
            at = end
        self._in = self._in[at:]
        if closed and not messages:
            raise Closed
        return messages

    def _beside(self, count: int) -> tuple[int, ...]:
        fds: list[int] = []
        while len(fds) < count and self._fds:
            fd = self._fds.pop(0)
            if fd == _LOST:
                break
            fds.append(fd)
        return tuple(fds)

    def close(self) -> None:
        for fd in (*(fd for fd in self._fds if fd != _LOST), *(fd for _, fds in self._out for fd in fds)):
            _close(fd)
        self._socket.close()


def _duplicate(fd: int) -> int:
    return _socket.dup(fd)


def _close(fd: int) -> None:
    _socket.close(fd)
