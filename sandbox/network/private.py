"""A private network, put up, taken down, and swept: the only place that knows the order.

Everything is done while the leases are locked, and everything can be found from the leases. So whoever comes next can
tell at any time what is to be: an interface that is gone means that its sandbox is (the kernel removes it with the last
process of its namespace), and a lease without an interface means one that is gone or never came to be. It is taken
back, and the rules, which say what the leases do, are written anew.

What all sandboxes share (bridge, rules, forwarding) comes with the first and goes with the last.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from . import BRIDGE, SUBNET, connections, firewall, forwarding, links
from .leases import PROTOCOLS, Leases, Port, Taken
from .netlink import NETFILTER, ROUTE, Netlink

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21

#: Called with each step before it is taken.
Reached = Callable[[str], None]


class Cannot(Exception):
    """What was asked for cannot be, and nothing of it is left; `step` says at which."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"cannot {step}: {why}")
        self.step = step


def up(request: dict[str, Any], reached: Reached | None = None) -> dict[str, Any]:
    """Give the network namespace of a process an address, as `sandbox.network.up` says. Raises Cannot.

    What the same holder had before is taken away first. For a process with one thread: it visits the namespace.
    """
    walk = _Walk(reached)
    with walk.explained():
        asked = _Asked(request)
        walk("change the host's network")
        _check_rights()
        walk("open its network namespace")
        namespace = _open_namespace(asked.namespace)
        try:
            with _Host(asked.state, walk) as host:
                host.sweep(alive=None, without=asked.holder)
                try:
                    return host.connect(asked, namespace)
                except BaseException:
                    host.undo(asked.holder)
                    raise
        finally:
            os.close(namespace)


def down(request: dict[str, Any], reached: Reached | None = None) -> dict[str, Any]:
    """Take a holder's network away; whatever of it is gone already is no error. Raises Cannot."""
    walk = _Walk(reached)
    with walk.explained():
        holder, state = _text(request, "holder"), _text(request, "state")
        walk("change the host's network")
        _check_rights()
        with _Host(state, walk) as host:
            return {"released": host.sweep(alive=None, without=holder)}


def sweep(request: dict[str, Any], reached: Reached | None = None) -> dict[str, Any]:
    """Take away the networks of those who are gone. Raises Cannot."""
    walk = _Walk(reached)
    with walk.explained():
        state, alive = _text(request, "state"), request.get("alive")
        walk("change the host's network")
        _check_rights()
        with _Host(state, walk) as host:
            return {"released": host.sweep(alive)}


class _Walk:
    """Where we are, for the message if it fails."""

    def __init__(self, reached: Reached | None) -> None:
        self.step = "read the request"
        self._reached = reached

    def __call__(self, step: str) -> None:
        self.step = step
        if self._reached is not None:
            self._reached(step)

    @contextmanager
    def explained(self) -> Generator[None]:
        """What goes wrong on the way becomes Cannot."""
        try:
            yield
        except OSError as error:
            about = f" ({error.filename})" if error.filename else ""
            raise Cannot(self.step, f"{error.strerror or error}{about}") from error
        except (Taken, ValueError) as error:
            raise Cannot(self.step, str(error)) from error


class _Asked:
    """A request to put a network up, checked. Raises ValueError."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.holder = _text(request, "holder")
        if "\0" in self.holder:
            raise ValueError("holder has a NUL in it")
        self.state = _text(request, "state")
        self.namespace = request.get("netns") or f"/proc/{int(request.get('pid') or 0)}/ns/net"
        try:
            self.subnet = ipaddress.IPv4Network(request.get("subnet") or SUBNET)
        except ValueError as error:
            raise ValueError(f"subnet: {error}") from None
        if not 16 <= self.subnet.prefixlen <= 29:
            raise ValueError(f"subnet: {self.subnet} is not from /16 to /29")
        self.bridge: str = request.get("bridge") or BRIDGE
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,8}", self.bridge):
            raise ValueError(f"bridge: {self.bridge!r} is no name of at most 9 letters, digits, _ and -")
        mtu = request.get("mtu")
        self.mtu: int | None = _number(mtu, "mtu", 576, 65535) if mtu else None
        self.rates: dict[str, int | None] = {}
        bandwidth: dict[str, Any] = request.get("bandwidth") or {}
        for name, rate in bandwidth.items():
            if name not in ("ingress", "egress"):
                raise ValueError(f"bandwidth.{name}: it is neither ingress nor egress")
            if rate is not None:
                rate = _number(rate, f"bandwidth.{name}", links.LEAST_RATE, links.GREATEST_RATE)
            self.rates[name] = rate
        self.publish: list[dict[str, Any]] = []
        for place, each in enumerate(request.get("publish") or ()):
            where = f"publish[{place}]"
            protocol = each.get("protocol") or "tcp"
            if protocol not in PROTOCOLS:
                raise ValueError(f"{where}.protocol: {protocol!r} is neither tcp nor udp")
            host = _number(each.get("host"), f"{where}.host", 1, 65535)
            container = _number(each.get("container"), f"{where}.container", 1, 65535)
            self.publish.append({"host": host, "container": container, "protocol": protocol})


def _text(request: dict[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: it is not said")
    return value


def _number(value: Any, name: str, least: int, greatest: int) -> int:
    if not isinstance(value, int) or not least <= value <= greatest:
        raise ValueError(f"{name}: {value!r} is not a whole number from {least} to {greatest}")
    return value


class _Host:
    """The host's network while it is ours to change."""

    def __init__(self, state: str, walk: _Walk) -> None:
        self._leases = Leases(state)
        self._walk = walk

    def __enter__(self) -> _Host:
        with ExitStack() as opened:
            self._walk("lock the leases")
            opened.enter_context(self._leases.locked())
            self._walk("talk to the kernel about networks")
            self._route = opened.enter_context(Netlink(ROUTE))
            self._filter = opened.enter_context(Netlink(NETFILTER))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def sweep(self, alive: Collection[str] | str | None, without: str | None = None) -> dict[str, str]:
        """Take back what is held by nobody who lives, or by `without`: {address: holder}."""
        network = self._leases.network()
        if network is None:
            return {}
        subnet, bridge = ipaddress.IPv4Network(network[0]), network[1]
        self._walk("take back what nobody holds")
        released: dict[str, str] = {}
        for address, holder in self._leases.holders().items():
            there = links.index(_names(bridge, subnet, address).cable)
            if holder == without or not there or not _lives(holder, alive):
                self._release(address)
                released[address] = holder
        if released or not self._leases.holders():
            self._settle()
        return released

    def connect(self, asked: _Asked, namespace: int) -> dict[str, Any]:
        leases, walk, bridge = self._leases, self._walk, asked.bridge
        gateway = str(asked.subnet.network_address + 1)
        bits = asked.subnet.prefixlen
        walk("agree on a subnet and a bridge")
        self._agree(asked.subnet, bridge)
        walk("lease an address")
        address = leases.take_address(asked.holder, asked.subnet)
        for each in asked.publish:
            walk(f"publish {each['protocol']} port {each['host']}")
            leases.take_port(Port(each["protocol"], each["host"], address, each["container"]))
        self._write_rules()
        walk("make the host forward packets")
        forwarding.switch_on(leases.directory)
        if links.claims(self._route, bridge) is None:
            walk(f"make the bridge {bridge}")
            links.make_bridge(self._route, bridge, gateway, bits, leases.directory)
        if asked.publish:
            walk(f"let the host's loopback reach {bridge}")
            forwarding.let_loopback_pass(bridge)
        names = _names(bridge, asked.subnet, address)
        walk("lay a cable from the bridge into the sandbox")
        for left in (names.cable, names.brake):  # of a lease whose end nobody saw, or that was lost with its directory
            links.remove(self._route, left)
        links.connect(self._route, bridge, names.cable, address, namespace, asked.mtu)
        links.limit(self._route, names, asked.rates, walk)
        walk("set up loopback inside")
        links.furnish(namespace, address, bits, gateway, walk)
        walk("open the bridge's port")
        links.open_port(self._route, names.cable)
        walk("answer")
        return {
            "address": f"{address}/{bits}",
            "gateway": gateway,
            "interface": links.INSIDE,
            "published": asked.publish,
            "bandwidth": {name: asked.rates.get(name) for name in ("egress", "ingress")},
        }

    def undo(self, holder: str) -> None:
        """After a failure, whatever of it can be: the rest is swept by the next who comes."""
        step = self._walk.step
        for address, held in self._leases.holders().items():
            if held == holder:
                with suppress(OSError):
                    self._release(address)
        with suppress(OSError):
            self._settle()
        self._walk.step = step

    def _agree(self, subnet: ipaddress.IPv4Network, bridge: str) -> None:
        """Raises Taken where others have something else, or what we want is somebody else's."""
        agreed = self._leases.network()
        if agreed is not None:
            if agreed != (str(subnet), bridge):
                raise Taken(f"those who have a network here have it on {agreed[1]}, {agreed[0]}")
            return
        found = links.claims(self._route, bridge)
        ours = (links.mac(str(subnet.network_address + 1)), self._leases.directory[:255])
        if found == ours or found == (ours[0], ""):
            links.remove(self._route, bridge)  # left by one who died in the middle
        elif found is not None:
            raise Taken(f"there is an interface {bridge} that is not ours; name another bridge")
        first, last = int(subnet.network_address), int(subnet.broadcast_address)
        route = links.overlapping(self._route, first, last)
        if route is not None:
            raise Taken(f"{subnet} overlaps {route}, to which the host has a route; name another subnet")
        self._leases.set_network(str(subnet), bridge)

    def _release(self, address: str) -> None:
        network = self._leases.network()
        if network is not None:
            names = _names(network[1], ipaddress.IPv4Network(network[0]), address)
            links.remove(self._route, names.cable)
            links.remove(self._route, names.brake)
            connections.forget(self._filter, address)
        self._leases.give_back(address)

    def _settle(self) -> None:
        """Make what all share fit the leases that are left."""
        network = self._leases.network()
        if network is None:
            return
        if self._leases.holders():
            self._write_rules()
            return
        _, bridge = network
        links.remove(self._route, bridge)
        firewall.remove(self._filter, bridge)
        forwarding.restore(self._leases.directory)
        self._leases.forget_network()

    def _write_rules(self) -> None:
        network = self._leases.network()
        assert network is not None
        self._walk("write the rules")
        subnet, bridge = ipaddress.IPv4Network(network[0]), network[1]
        firewall.replace(
            self._filter,
            bridge,
            links.ports(bridge),
            subnet,
            [
                firewall.Sender(_names(bridge, subnet, address).cable, links.mac(address), address)
                for address in self._leases.holders()
            ],
            self._leases.ports(),
            only_ours=forwarding.switched(self._leases.directory),
        )


def _names(bridge: str, subnet: ipaddress.IPv4Network, address: str) -> links.Names:
    return links.names(bridge, int(ipaddress.IPv4Address(address)) - int(subnet.network_address))


def _lives(holder: str, alive: Collection[str] | str | None) -> bool:
    if alive is None:
        return True
    return os.path.lexists(os.path.join(alive, holder)) if isinstance(alive, str) else holder in alive


def _check_rights() -> None:
    with open("/proc/self/status", encoding="ascii") as file:
        rights = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    needed = 1 << _CAP_NET_ADMIN | 1 << _CAP_SYS_ADMIN
    if rights & needed != needed:
        raise ValueError(
            "only root may (CAP_NET_ADMIN and CAP_SYS_ADMIN); without root a sandbox has the host's network, or none"
        )


def _open_namespace(path: str) -> int:
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if os.path.samestat(os.fstat(namespace), os.stat("/proc/self/ns/net")):
        os.close(namespace)
        raise ValueError(f"{path} is the host's own network, not one of the sandbox's")
    return namespace
