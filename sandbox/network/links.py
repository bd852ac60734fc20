"""Interfaces: the bridge, the cable between it and a sandbox, the sandbox's end, and what slows them down.

A cable is a veth pair. One end is made straight in the sandbox's namespace, the other is a port of the bridge. All
names follow from the bridge's and a number, so whoever finds one knows whose it is, and what else there may be.

A port is a narrow one. It is isolated: no frame goes from one to another, only to the bridge itself, that is the host.
It learns no addresses: the one behind it is told to the bridge, so nobody can claim another's. It gets no frame that
was not meant for it, but for broadcasts, without which there is no ARP.

The bridge is told that address as one of its own (`permanent`, not `static`). From the host, frames go to the port all
the same; from another port they go up to the host, where the rules decide. With br_netfilter there is one such case: it
translates what a sandbox sends to the published port of another while still on the bridge, and gives it straight to
the other's port, where isolation would be its end.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import NTF_MASTER, NUD_PERMANENT, ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from sandbox import syscalls

from .netlink import CREATE, DUMP, EXCL, REPLACE, ROUTE, Netlink, Refused, attributes

#: The interface inside.
INSIDE = "eth0"

_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR = 20
_NEWROUTE, _GETROUTE = 24, 26
_NEWNEIGH = 28
_NEWQDISC, _NEWFILTER = 36, 44

_UP = 1
_AF_BRIDGE = 7
_LOOPBACK_INDEX = 1  # in every network namespace
_NO_IPV6_ADDRESS = 1  # IN6_ADDR_GEN_MODE_NONE
_IFLA_IFALIAS = 20
_IFLA_ADDRESS = 1
_RTA_DST = 1
_MAIN, _BOOT, _UNIVERSE, _UNICAST = 254, 3, 0, 1

#: Bits per second. tc's structure has 32 bits for bytes per second, and 1500 bytes must not take minutes.
LEAST_RATE, GREATEST_RATE = 8_000, 8 * ((1 << 32) - 1)

#: What may be sent at once, in bytes: more than a packet of segmentation offload has, and 10 ms of a fast link.
_BURST, _BURST_SECONDS = 128 << 10, 0.01
#: How long a packet may wait before it is dropped.
_QUEUE_SECONDS = 0.2


class Names(NamedTuple):
    """The host's interfaces of a sandbox."""

    cable: str  # the host's end
    brake: str  # what slows down what it sends; only where that is limited


def names(bridge: str, number: int) -> Names:
    """At most 15 letters: a bridge's name has at most 9, and a number 5."""
    return Names(f"{ports(bridge)}{number}", f"{bridge}i{number}")


def ports(bridge: str) -> str:
    """What the names of its ports begin with."""
    return f"{bridge}."


def mac(address: str) -> str:
    """Of an IPv4 address: always the same, so nobody's memory of an address is ever wrong. Locally administered."""
    return "02:74:" + ":".join(f"{byte:02x}" for byte in socket.inet_aton(address))


def index(name: str) -> int:
    """0: there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def claims(netlink: Netlink, name: str) -> tuple[str, str] | None:
    """An interface's hardware address, and what is written on it ("": nothing). None: there is none."""
    try:
        ((_, body),) = netlink.ask(_GETLINK, 0, _link(("IFLA_IFNAME", name)))
    except Refused as refused:
        if refused.errno == errno.ENODEV:
            return None
        raise
    found = dict(attributes(body[16:]))
    label = found.get(_IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace")
    return found.get(_IFLA_ADDRESS, b"").hex(":"), label


def overlapping(netlink: Netlink, first: int, last: int) -> str | None:
    """Somebody else's route to an address in a range, as text; the default route is no claim."""
    for _, body in netlink.ask(_GETROUTE, DUMP, _message(rtmsg, [], family=socket.AF_INET)):
        length, table = body[1], body[4]
        found = dict(attributes(body[12:]))
        if not length or table != _MAIN or _RTA_DST not in found:
            continue
        start = int.from_bytes(found[_RTA_DST], "big")
        if start <= last and first <= start + (1 << (32 - length)) - 1:
            return f"{socket.inet_ntoa(found[_RTA_DST])}/{length}"
    return None


def make_bridge(netlink: Netlink, name: str, gateway: str, bits: int, label: str) -> None:
    """A bridge with an address, that is up. Its hardware address stays whatever ports come and go."""
    kind = {"attrs": [("IFLA_INFO_KIND", "bridge")]}
    made = _link(("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac(gateway)), ("IFLA_LINKINFO", kind))
    netlink.call(_NEWLINK, CREATE | EXCL, made)
    there = index(name)
    netlink.call(_SETLINK, 0, _link(("IFLA_IFALIAS", label), number=there))
    _no_ipv6(netlink, there)
    _address(netlink, there, gateway, bits)
    netlink.call(_SETLINK, 0, _link(number=there, up=True))


def remove(netlink: Netlink, name: str) -> None:
    """No error where it is gone already."""
    try:
        netlink.call(_DELLINK, 0, _link(("IFLA_IFNAME", name)))
    except Refused as refused:
        if refused.errno != errno.ENODEV:
            raise


def connect(netlink: Netlink, bridge: str, cable: str, address: str, namespace: int, mtu: int | None) -> None:
    """A cable from the bridge into the network namespace `namespace` (a descriptor). Its host's end is down yet."""
    size: list[tuple[str, Any]] = [("IFLA_MTU", mtu)] if mtu else []
    inside = [("IFLA_IFNAME", INSIDE), ("IFLA_ADDRESS", mac(address)), ("IFLA_NET_NS_FD", namespace), *size]
    kind = [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", {"attrs": inside})]})]
    netlink.call(_NEWLINK, CREATE | EXCL, _link(("IFLA_IFNAME", cable), *size, ("IFLA_LINKINFO", {"attrs": kind})))
    port = index(cable)
    _no_ipv6(netlink, port)
    try:
        netlink.call(_SETLINK, 0, _link(("IFLA_MASTER", index(bridge)), number=port))
    except Refused as refused:
        if refused.errno != errno.EXFULL:
            raise
        why = f"the bridge {bridge} has 1023 ports, and the kernel gives none more"  # net/bridge/br_private.h
        raise Refused(errno.EXFULL, why) from None
    narrow = {
        "attrs": [
            ("IFLA_BRPORT_ISOLATED", 1),
            ("IFLA_BRPORT_LEARNING", 0),
            ("IFLA_BRPORT_UNICAST_FLOOD", 0),
            ("IFLA_BRPORT_MCAST_FLOOD", 0),
        ]
    }
    slave = {"attrs": [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", narrow)]}
    netlink.call(_NEWLINK, 0, _link(("IFLA_LINKINFO", slave), number=port))
    known = _message(ndmsg, [("NDA_LLADDR", mac(address))], ifindex=port, state=NUD_PERMANENT, flags=NTF_MASTER)
    known["family"] = _AF_BRIDGE
    netlink.call(_NEWNEIGH, CREATE | REPLACE, known)


def open_port(netlink: Netlink, cable: str) -> None:
    netlink.call(_SETLINK, 0, _link(number=index(cable), up=True))


def furnish(namespace: int, address: str, bits: int, gateway: str, reached: Callable[[str], None]) -> None:
    """Inside: loopback up, the address, the way out. The calling thread is in there for as long as a socket takes."""
    with open("/proc/thread-self/ns/net") as here:
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        try:
            netlink = Netlink(ROUTE)
            there = index(INSIDE)
        finally:
            syscalls.setns(here.fileno(), syscalls.CLONE_NEWNET)
    with netlink:
        netlink.call(_SETLINK, 0, _link(number=_LOOPBACK_INDEX, up=True))
        _no_ipv6(netlink, there)
        reached(f"give {INSIDE} its address")
        _address(netlink, there, address, bits)
        netlink.call(_SETLINK, 0, _link(number=there, up=True))
        reached("lay the route to the gateway")
        way = _message(rtmsg, [("RTA_GATEWAY", gateway), ("RTA_OIF", there)], family=socket.AF_INET)
        way["table"], way["proto"], way["scope"], way["type"] = _MAIN, _BOOT, _UNIVERSE, _UNICAST
        netlink.call(_NEWROUTE, CREATE | EXCL, way)


def limit(netlink: Netlink, its: Names, rates: Mapping[str, int | None], reached: Callable[[str], None]) -> None:
    """Slow down what a sandbox gets (`ingress`) and sends (`egress`), in bits per second.

    Both at the host's end, where nothing in the sandbox can undo it. What it gets, the host sends: that waits in the
    cable's own queue. What it sends, the host receives, and there is no queue for that: so it takes a detour through
    an interface (ifb) that has one.
    """
    ingress, egress = rates.get("ingress"), rates.get("egress")
    if ingress:
        reached("limit what it receives")
        _bucket(netlink, index(its.cable), ingress)
    if egress:
        reached("limit what it sends")
        kind = {"attrs": [("IFLA_INFO_KIND", "ifb")]}
        netlink.call(_NEWLINK, CREATE | EXCL, _link(("IFLA_IFNAME", its.brake), ("IFLA_LINKINFO", kind)))
        brake = index(its.brake)
        _no_ipv6(netlink, brake)
        _bucket(netlink, brake, egress)
        netlink.call(_SETLINK, 0, _link(number=brake, up=True))
        reached("lead what it sends through its limit")
        _detour(netlink, index(its.cable), brake)


# -- messages


def _message(kind: Any, attrs: list[tuple[str, Any]], **fields: int) -> Any:
    message = kind()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attrs
    return message


def _link(*attrs: tuple[str, Any], number: int = 0, up: bool = False) -> Any:
    return _message(ifinfmsg, list(attrs), index=number, flags=_UP * up, change=_UP * up)


def _no_ipv6(netlink: Netlink, number: int) -> None:
    """No address made up by the interface itself. Before it is up: it would have one by then."""
    spec = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _NO_IPV6_ADDRESS)]})]}
    try:
        netlink.call(_SETLINK, 0, _link(("IFLA_AF_SPEC", spec), number=number))
    except Refused as refused:
        if refused.errno not in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):  # a kernel without IPv6
            raise


def _address(netlink: Netlink, number: int, address: str, bits: int) -> None:
    attrs = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
    netlink.call(
        _NEWADDR, CREATE | EXCL, _message(ifaddrmsg, attrs, family=socket.AF_INET, prefixlen=bits, index=number)
    )


_ROOT, _INGRESS, _INGRESS_HANDLE, _HANDLE = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000, 0x10000
_EVERY_PROTOCOL = 3  # ETH_P_ALL


def _bucket(netlink: Netlink, number: int, rate: int) -> None:
    """A token bucket (tbf), which every kernel with traffic control has."""
    from pyroute2.netlink.rtnl.tcmsg import sched_tbf, tcmsg  # a third of all imports, for few sandboxes

    tbf: Any = sched_tbf

    each_second = rate // 8
    burst = max(_BURST, int(each_second * _BURST_SECONDS))
    asked = {"rate": each_second, "burst": burst, "limit": burst + int(each_second * _QUEUE_SECONDS)}
    attrs = [("TCA_KIND", "tbf"), ("TCA_OPTIONS", tbf.get_parameters(asked))]
    netlink.call(_NEWQDISC, CREATE | EXCL, _message(tcmsg, attrs, index=number, handle=_HANDLE, parent=_ROOT))


def _detour(netlink: Netlink, number: int, to: int) -> None:
    from pyroute2.netlink.rtnl.tcmsg import common_act, tcmsg

    actions: Any = common_act

    door = _message(tcmsg, [("TCA_KIND", "ingress")], index=number, handle=_INGRESS_HANDLE, parent=_INGRESS)
    netlink.call(_NEWQDISC, CREATE | EXCL, door)
    action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": to}
    all_of_it = [
        ("TCA_U32_ACT", actions.get_tca_action({"action": action})),
        ("TCA_U32_SEL", {"keys": ["0x0/0x0+0"]}),
    ]
    attrs = [("TCA_KIND", "u32"), ("TCA_OPTIONS", {"attrs": all_of_it})]
    info = 1 << 16 | socket.htons(_EVERY_PROTOCOL)
    netlink.call(_NEWFILTER, CREATE | EXCL, _message(tcmsg, attrs, index=number, parent=_INGRESS_HANDLE, info=info))
