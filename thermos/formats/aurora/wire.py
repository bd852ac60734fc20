"""Messages between the reader of a file and the process that runs it: JSON, its length before it."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEADER = 4  # bytes: the length of what follows, least significant first
LARGEST = 64 << 20  # bytes of one message


def framed(message: object) -> bytes:
    """Raises ValueError for what is too large."""
    body = json.dumps(message).encode()
    if len(body) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
    return len(body).to_bytes(HEADER, "little") + body


def tell(fd: int, message: object) -> None:
    """By write(2): the filter around whoever runs a file knows no sending."""
    rest = memoryview(framed(message))
    while rest:
        rest = rest[os.write(fd, rest) :]


def hear(fd: int) -> Any:
    """The next message. Raises EOFError where the other end is closed."""
    return json.loads(_read(fd, int.from_bytes(_read(fd, HEADER), "little")))


def _read(fd: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        more = os.read(fd, length - len(data))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
