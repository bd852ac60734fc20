"""Conversations with the kernel: pyroute2's messages, over a socket of our own.

pyroute2 knows how several hundred attributes are laid out. Its sockets are another matter: they bring an event loop
(half of its import time), make it hard to say in which network namespace a socket is, and tell a failed nftables
transaction by its number only. What is needed of a socket here is little: say it, wait until it is so, and have the
kernel's own words where it refuses.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

ROUTE = 0
NETFILTER = 12

REQUEST = 0x01
ACK = 0x04
DUMP = 0x300
CREATE = 0x400
EXCL = 0x200
APPEND = 0x800
REPLACE = 0x100

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_FLAG_CAPPED = 0x100
_FLAG_ACK_TLVS = 0x200
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_TYPE_MASK = 0x3FFF  # without the bits "nested" and "network byte order"

_NFNL_MSG_BATCH_BEGIN = 0x10
_NFNL_MSG_BATCH_END = 0x11
_NFNL_SUBSYS_NFTABLES = 10
_NFGEN = struct.Struct(">BBH")  # family, version, resource

#: Seconds. The kernel answers at once, or a lock of its own is held by somebody for far too long.
_PATIENCE = 20

#: Room for transactions with thousands of elements; the default is 208 KiB.
_SEND_BUFFER = 4 << 20
_SO_SNDBUFFORCE = 32


class Refused(OSError):
    """The kernel's answer is an error. `strerror` has its explanation, where it gives one."""


class Netlink:
    """A socket in the network namespace that the calling thread is in now, and stays in whatever that does later."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_PATIENCE)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                pass  # older than Linux 4.12: errors without words
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)
        except OSError:
            pass
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, kind: int, flags: int, message: Any) -> None:
        """Send one message of pyroute2's, and wait until it is carried out. Raises Refused."""
        self._send([(kind, REQUEST | ACK | flags, message)])
        self._acknowledged(self._sequence, self._sequence)

    def ask(self, kind: int, flags: int, message: Any) -> list[tuple[int, bytes]]:
        """The answers to one message: (type, body). Without DUMP there is one. Raises Refused."""
        self._send([(kind, REQUEST | flags, message)])
        answers: list[tuple[int, bytes]] = []
        for answer, sequence, body in self._messages():
            if sequence != self._sequence:
                continue
            if answer == _NLMSG_ERROR:
                _check(body)
                return answers
            if answer == _NLMSG_DONE:
                return answers
            answers.append((answer, body))
            if flags & DUMP != DUMP:
                return answers
        raise AssertionError("messages do not end")

    def transaction(self, messages: Sequence[tuple[int, int, Any]]) -> None:
        """Carry out messages of nftables, (type, flags, message), all of them or none. Raises Refused.

        Only the last is acknowledged: hundreds of acknowledgements would not fit the socket's buffer. A message that
        fails is answered whether it asks for that or not.
        """
        subsystem = _NFNL_SUBSYS_NFTABLES << 8
        edge = _NFGEN.pack(0, 0, _NFNL_SUBSYS_NFTABLES)
        inner = [(subsystem | kind, REQUEST | flags, message) for kind, flags, message in messages[:-1]]
        kind, flags, message = messages[-1]
        inner.append((subsystem | kind, REQUEST | ACK | flags, message))
        self._send([(_NFNL_MSG_BATCH_BEGIN, REQUEST, edge), *inner, (_NFNL_MSG_BATCH_END, REQUEST, edge)])
        self._acknowledged(self._sequence - 1 - len(messages), self._sequence - 1)

    def _send(self, messages: Sequence[tuple[int, int, Any]]) -> None:
        data = bytearray()
        for kind, flags, message in messages:
            self._sequence += 1
            body = message if isinstance(message, bytes) else encoded(message)
            data += _HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0)
            data += body + b"\0" * (-len(body) % 4)
        self._socket.send(data)

    def _acknowledged(self, first: int, last: int) -> None:
        """Until message `last` is. What answers an earlier transaction, one that was refused, is passed over."""
        for kind, sequence, body in self._messages():
            if kind == _NLMSG_ERROR and first <= sequence <= last:
                _check(body)
                if sequence == last:
                    return

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        while True:
            try:
                data = self._socket.recv(1 << 20)
            except TimeoutError:
                raise Refused(110, f"the kernel has not answered for {_PATIENCE} seconds") from None
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
                yield kind, sequence, _with_flags(kind, data[offset : offset + length])
                offset += length + -length % 4


def _with_flags(kind: int, message: bytes) -> bytes:
    """The body; of an error also the flags, in front."""
    return message[6:8] + message[_HEADER.size :] if kind == _NLMSG_ERROR else message[_HEADER.size :]


def _check(body: bytes) -> None:
    (flags,) = struct.unpack_from("=H", body)
    (number,) = struct.unpack_from("=i", body, 2)
    if not number:
        return
    words = ""
    if flags & _FLAG_ACK_TLVS:
        (length,) = struct.unpack_from("=I", body, 6)
        echoed = _HEADER.size if flags & _FLAG_CAPPED else length + -length % 4
        words = dict(attributes(body[6 + echoed :])).get(1, b"").rstrip(b"\0").decode(errors="replace")
    why = os.strerror(-number)
    raise Refused(-number, f"{why} ({words.rstrip('.')})" if words else why)


def encoded(message: Any) -> bytes:
    """A message of pyroute2's without its header, which is ours to write."""
    message.encode()
    return bytes(message.data[_HEADER.size :])


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each netlink attribute in `data`."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4
