"""The task's control socket: JSON requests to the supervisor, one datagram each, one answer each.

    {"request": "kill", "wait": 30.0 | null, "force": false}   ->  {"ok": true}
    {"request": "signal", "process": "web", "signal": 1}       ->  {"ok": true} or {"ok": false, "why": "..."}
    {"request": "pause"}, {"request": "unpause"}               ->  the same
    {"request": "update", "limits": {"ram": 1073741824 | null}, "process": "web" | null}
                                                               ->  {"ok": true, "rows": [asked versus got]} or not

The supervisor asks the kernel who is there (SO_PEERCRED): root and the task's owner may, nobody else.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from thermos import paths


class NotSupervised(Exception):
    """Nobody answers on the task's control socket: it may have been heard."""


class NotListening(NotSupervised):
    """Nobody listens there: nobody has heard it."""


def request(task_dir: str, message: dict[str, object], timeout: float = 30.0) -> dict[str, Any]:
    """Ask the supervisor and return its answer. Raises NotSupervised, NotListening, PermissionError, TimeoutError."""
    fd, path = paths.control_address(task_dir)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(timeout)
        try:
            try:
                connection.connect(path)
            except (FileNotFoundError, ConnectionError) as error:
                raise NotListening(str(error)) from None
            connection.send(json.dumps(message).encode())
            answer = connection.recv(1 << 16)
        except ConnectionError as error:
            raise NotSupervised(str(error)) from None
        finally:
            os.close(fd)
    if not answer:
        raise NotSupervised("the supervisor went away")
    reply: dict[str, Any] = json.loads(answer)
    return reply
