"""A real observer, as a process of its own, and a client for it."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

PATIENCE = 20.0


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


@dataclass
class Running:
    """A real observer, in a process of its own."""

    process: subprocess.Popen[str]
    said: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()

    def connection(self) -> http.client.HTTPConnection:
        if self.url.startswith("unix:"):
            return _UnixConnection(self.url.removeprefix("unix:"))
        return http.client.HTTPConnection(self.url.removeprefix("http://").rstrip("/"), timeout=PATIENCE)

    def asking_with(self, **headers: str) -> Running:
        return replace(self, headers=tuple(headers.items()))

    def get(self, path: str, method: str = "GET") -> Answer:
        connection = self.connection()
        try:
            connection.request(method, path, headers=dict(self.headers))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()


Start = Callable[..., Running]
