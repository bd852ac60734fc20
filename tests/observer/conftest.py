"""A real observer as a process of its own, and a client for it."""

from __future__ import annotations

import http.client
import re
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

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


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts observers and ends them."""
    running: list[subprocess.Popen[str]] = []

    def begin(*roots: object, listen: str = "127.0.0.1:0") -> Running:
        options = [f"--root={root}" for root in roots]
        command = [sys.executable, "-m", "observer.server", f"--listen={listen}", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        assert ready, "the observer did not say its address"
        said = process.stdout.readline()
        found = re.search(r"(http|unix):\S+$", said)
        assert found, said + (process.stderr.read() if process.stderr else "")
        return Running(process, said, found[0])

    yield begin
    for process in running:
        process.terminate()
    for process in running:
        process.communicate(timeout=PATIENCE)


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")
