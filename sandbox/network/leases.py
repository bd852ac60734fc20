"""Who has which address and which port of the host: one symbolic link each, which names its holder.

A link is made with what it says in one call that fails where there is one: so nothing is given twice, and nothing is
ever half written. All else that is set up for a sandbox can be found from its address. An address is taken first and
given back last: what is set up without one is nobody's.

    10.98.0.5 -> the holder             tcp-31001 -> 10.98.0.5:8080
    network -> 10.98.0.0/16 thermos0    last -> 10.98.0.5, the address given last: the next one gets the next
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

#: Seconds to wait for somebody else's change, each of which takes a few hundredths.
_PATIENCE = 30

PROTOCOLS = ("tcp", "udp")


class Taken(Exception):
    """What is asked for is somebody else's, or there is none left; the text says whose."""


class Port:
    """A published port. `address` and `container`: where it leads."""

    __slots__ = ("address", "container", "host", "protocol")

    def __init__(self, protocol: str, host: int, address: str, container: int) -> None:
        self.protocol = protocol
        self.host = host
        self.address = address
        self.container = container


class Leases:
    """The leases of a host, in a directory. Whoever changes any has it `locked`."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        """One at a time. Raises OSError, TimeoutError after half a minute. The main thread's, for it takes SIGALRM."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        fd = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = signal.signal(signal.SIGALRM, _give_up)
            signal.alarm(_PATIENCE)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
            finally:
                signal.alarm(0)
                signal.signal(signal.SIGALRM, before)
            yield
        finally:
            os.close(fd)

    def network(self) -> tuple[str, str] | None:
        """The subnet and the bridge that the leases are of; None: of no one yet."""
        try:
            subnet, _, bridge = os.readlink(self._path("network")).partition(" ")
        except FileNotFoundError:
            return None
        return subnet, bridge

    def set_network(self, subnet: str, bridge: str) -> None:
        os.symlink(f"{subnet} {bridge}", self._path("network"))

    def forget_network(self) -> None:
        self._unlink("network")

    def holders(self) -> dict[str, str]:
        """{address: holder}."""
        return {name: os.readlink(self._path(name)) for name in self._names() if _is_address(name)}

    def ports(self) -> list[Port]:
        ports: list[Port] = []
        for name in self._names():
            protocol, dash, host = name.partition("-")
            if dash and protocol in PROTOCOLS:
                address, _, container = os.readlink(self._path(name)).rpartition(":")
                ports.append(Port(protocol, int(host), address, int(container)))
        return ports

    def take_address(self, holder: str, subnet: ipaddress.IPv4Network) -> str:
        """The first free address after the one given last. Raises Taken: there is none.

        Going round keeps addresses from those who come after for as long as can be: what was on its way to the last
        holder does not reach the next one.
        """
        taken = self.holders()
        first, count = int(subnet.network_address) + 2, subnet.num_addresses - 3
        try:
            start = int(ipaddress.IPv4Address(os.readlink(self._path("last")))) + 1 - first
        except (FileNotFoundError, ValueError):
            start = 0
        if not 0 <= start < count:
            start = 0
        for step in range(count):
            address = str(ipaddress.IPv4Address(first + (start + step) % count))
            if address not in taken:
                self._unlink("last.new")
                os.symlink(address, self._path("last.new"))
                os.rename(self._path("last.new"), self._path("last"))
                os.symlink(holder, self._path(address))
                return address
        raise Taken(f"all {count} addresses of {subnet} are held")

    def take_port(self, port: Port) -> None:
        """Raises Taken: somebody holds it, or listens there."""
        try:
            os.symlink(f"{port.address}:{port.container}", self._path(f"{port.protocol}-{port.host}"))
        except FileExistsError:
            held = {(each.protocol, each.host): each.address for each in self.ports()}
            holder = self.holders().get(held[port.protocol, port.host], "somebody")
            raise Taken(f"{port.protocol} port {port.host} of the host leads to {holder}") from None
        _check_free(port)

    def give_back(self, address: str) -> None:
        """An address, and its ports before that."""
        for port in self.ports():
            if port.address == address:
                self._unlink(f"{port.protocol}-{port.host}")
        self._unlink(address)

    def _names(self) -> list[str]:
        return sorted(os.listdir(self.directory))

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            pass


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"somebody else has been changing the host's networks for {_PATIENCE} seconds")


def _is_address(name: str) -> bool:
    return name.count(".") == 3 and name.replace(".", "").isdigit()


def _check_free(port: Port) -> None:
    """That nobody on the host listens there: who does would be cut off. Who has only reserved it does not matter."""
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if port.protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port.host))
        except OSError as error:
            why = error.strerror
            raise Taken(f"{port.protocol} port {port.host} of the host is in use: {why}") from None
