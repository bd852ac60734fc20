"""A host of the tests' own: a network namespace, and sandboxes and a world outside that are namespaces too.

Sockets stay in the namespace they were made in: so the test itself talks from anywhere.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sandbox import network, syscalls

#: Seconds to wait for what does come, and for what must not.
COMES, DOES_NOT = 30.0, 0.4

#: Where the world outside is, and the host in it.
OUTSIDE, HOST = "203.0.113.2", "203.0.113.1"


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """The calling thread is in the network namespace of a process."""
    with open("/proc/thread-self/ns/net") as here, open(f"/proc/{pid}/ns/net") as there:
        syscalls.setns(there.fileno(), syscalls.CLONE_NEWNET)
        try:
            yield
        finally:
            syscalls.setns(here.fileno(), syscalls.CLONE_NEWNET)


class Refused(Exception):
    """The program's answer is that it cannot."""


class Host:
    """A host with an uplink, and what runs on it; `state` is its directory of leases."""

    def __init__(self, directory: Path) -> None:
        self.state = str(directory / "networks")
        self._end = ExitStack()

    def __enter__(self) -> Host:
        self.pid = self._process("unshare", "--net")
        self.outside = self.sandbox()
        from pyroute2 import IPRoute

        self.write("ip_forward", "0")  # a new namespace has it from the machine's own
        with inside(self.pid), IPRoute() as route:
            route.link("set", index=1, state="up")
            route.link("add", ifname="up0", kind="veth", peer={"ifname": "eth0", "net_ns_pid": self.outside})
            (up,) = route.link_lookup(ifname="up0")
            route.addr("add", index=up, address=HOST, prefixlen=24)
            route.link("set", index=up, state="up")
        with inside(self.outside), IPRoute() as route:
            (eth,) = route.link_lookup(ifname="eth0")
            route.addr("add", index=eth, address=OUTSIDE, prefixlen=24)
            route.link("set", index=eth, state="up")
        return self

    def __exit__(self, *error: object) -> None:
        self._end.close()

    def sandbox(self, *options: str) -> int:
        """The first process of something with a network namespace of its own."""
        return self._process("nsenter", f"--net=/proc/{self.pid}/ns/net", "unshare", "--net", *options)

    def _process(self, *argv: str) -> int:
        process = subprocess.Popen([*argv, "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE)
        self._end.callback(_end, process)
        assert process.stdout is not None
        assert process.stdout.read(1) == b"\n"
        return process.pid

    def start(self, verb: Any, request: dict[str, Any], *arguments: int) -> subprocess.Popen[str]:
        argv = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *network.command(verb, *arguments)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert process.stdin is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        process.stdin = None
        return process

    def answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        out, err = process.communicate(timeout=60)
        assert err == ""
        answer: dict[str, Any] = json.loads(out)
        assert process.returncode == ("cannot" in answer)
        if "cannot" in answer:
            raise Refused(answer["cannot"])
        return answer

    def up(self, holder: str, pid: int, **asked: Any) -> dict[str, Any]:
        return self.answer(self.start("up", network.up(holder, self.state, pid, **asked)))

    def address(self, holder: str, pid: int, **asked: Any) -> str:
        return str(self.up(holder, pid, **asked)["address"]).partition("/")[0]

    def down(self, holder: str) -> dict[str, Any]:
        return self.answer(self.start("down", network.down(holder, self.state)))

    def sweep(self, alive: Sequence[str] | str | None = None) -> dict[str, Any]:
        return self.answer(self.start("sweep", network.sweep(self.state, alive)))

    def links(self) -> list[str]:
        with inside(self.pid):
            return sorted(name for _, name in socket.if_nameindex())

    def everything(self) -> dict[str, Any]:
        """What a network leaves its traces in."""
        from pyroute2.nftables.main import NFTables

        with inside(self.pid):
            with NFTables(nfgen_family=0) as nft:
                tables = sorted(str(each.get_attr("NFTA_TABLE_NAME")) for each in nft.get_tables())
            return {
                "links": self.links(),
                "tables": tables,
                "leases": sorted(set(os.listdir(self.state)) - {"lock", "last"}) if os.path.isdir(self.state) else [],
                "switches": {name: self.read(name) for name in ("ip_forward", "conf/all/accept_redirects")},
                "routes": Path("/proc/thread-self/net/route").read_text(),
            }

    def read(self, switch: str) -> str:
        with inside(self.pid):
            return Path(f"/proc/sys/net/ipv4/{switch}").read_text().strip()

    def write(self, switch: str, value: str) -> None:
        with inside(self.pid):
            Path(f"/proc/sys/net/ipv4/{switch}").write_text(value)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def listen(pid: int, address: str = "", port: int = 0) -> socket.socket:
    with inside(pid):
        listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(16)
    listener.settimeout(COMES)
    return listener


def datagrams(pid: int, address: str = "", port: int = 0) -> socket.socket:
    with inside(pid):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((address, port))
    receiver.settimeout(COMES)
    return receiver


def connect(pid: int, address: str, port: int, patience: float = COMES) -> socket.socket:
    with inside(pid):
        caller = socket.socket()
    caller.settimeout(patience)
    try:
        caller.connect((address, port))
    except OSError:
        caller.close()
        raise
    return caller


def reaches(pid: int, address: str, port: int, listener: socket.socket) -> str | None:
    """From a process to an address and port, where the listener is to answer: whom it sees, or None."""
    try:
        caller = connect(pid, address, port, COMES if listener.gettimeout() == COMES else DOES_NOT)
    except OSError:
        return None
    with caller:
        answerer, (peer, _) = listener.accept()
        with answerer:
            answerer.settimeout(COMES)
            caller.sendall(b"ping")
            assert answerer.recv(4) == b"ping"
            answerer.sendall(b"pong")
            assert caller.recv(4) == b"pong"
            return str(peer)


def refuses(pid: int, address: str, port: int) -> bool:
    """Whether nothing comes through from a process to there: no answer, or that there is no way."""
    try:
        connect(pid, address, port, DOES_NOT).close()
    except (TimeoutError, OSError):
        return True
    return False
