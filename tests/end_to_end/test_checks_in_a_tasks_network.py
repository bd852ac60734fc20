"""Health checks by port of tasks with a network of their own: asked there, and of nobody else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from deadline import until
from real_program import Program

from thermos.core import records as r

pytestmark = pytest.mark.root

NETWORKS = ["none", "private"]
SERVE = "exec python3 -m http.server {{thermos.ports[http]}}"


@pytest.fixture
def of_the_host() -> Iterator[int]:
    """A port of the host's where somebody answers everything with 200."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def checked(cmdline: str, **check: Any) -> dict[str, Any]:
    health = {**check, "interval_secs": 0.1, "initial_interval_secs": 60}
    return {"name": "web", "cmdline": cmdline, "ephemeral": True, "min_duration": 0, "health": health}


def told(program: Program) -> list[r.Checked]:
    return [record for record in program.records() if isinstance(record, r.Checked)]


@pytest.mark.parametrize("check", [{"http": {"port": "http", "path": "/"}}, {"tcp": {"port": "http"}}], ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_what_listens_in_the_tasks_network_is_reached(program: Program, network: str, check: dict[str, Any]) -> None:
    after = {"name": "next", "cmdline": "true", "min_duration": 0, "after": {"web": "healthy"}}
    run = program.begin([checked(SERVE, **check), after], sandbox={"network": network})
    assert until(lambda: any(each.ok for each in told(program)), "it is never healthy")
    assert run.wait() == 0


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_port_of_the_hosts_is_not_the_tasks(program: Program, network: str, of_the_host: int) -> None:
    deaf = checked("exec sleep 1000", tcp={"port": of_the_host}) | {"ephemeral": False}
    run = program.begin([deaf], sandbox={"network": network})
    first = until(lambda: told(program), "nobody asked")[0]
    assert (first.ok, first.why) == (False, f"cannot connect to port {of_the_host}: connection refused")
    assert program.done("kill", program.id).returncode == 0
    assert run.wait() == 143


def test_a_plain_users_task_is_asked_in_its_network_too(nobody: Program, of_the_host: int) -> None:
    theirs = checked("exec sleep 1000", tcp={"port": of_the_host}) | {"name": "deaf"}
    after = {"name": "next", "cmdline": "true", "min_duration": 0, "after": {"web": "healthy"}}
    serving = checked(SERVE, http={"port": "http", "path": "/"})
    run = nobody.begin(
        [serving, theirs, {**after, "cmdline": "exec sleep 1000"}],
        "--isolation",
        "best-effort",
        sandbox={"network": "none"},
    )
    assert until(lambda: any(each.ok for each in told(nobody)), "it is never healthy")
    assert until(lambda: [each for each in told(nobody) if each.process == 1], "nobody asked the other")[0].ok is False
    assert nobody.done("kill", nobody.id).returncode == 0
    assert run.wait() == 143
