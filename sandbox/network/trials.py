"""What a private network takes of a host, each tried: in namespaces that end with this process, and all in them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable

from sandbox import syscalls

from . import BRIDGE, firewall, links
from .leases import Port
from .netlink import NETFILTER, ROUTE, Netlink

Row = tuple[str, bool, str, str, str]

_SUBNET = ipaddress.IPv4Network("192.0.2.0/24")  # for documentation: nobody's
_GATEWAY, _ADDRESS = "192.0.2.1", "192.0.2.2"
_NAMES = links.names(BRIDGE, 2)
_ROOT = "run as root (CAP_NET_ADMIN, CAP_SYS_ADMIN)"


def try_each() -> list[Row]:
    """(what, works, how, why not, remedy) of each. For a process of one's own: it leaves its network namespace."""
    rows = [_forwarding()]
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        inside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.unshare(syscalls.CLONE_NEWNET)
        route, netfilter = Netlink(ROUTE), Netlink(NETFILTER)
    except OSError as error:
        rows.append(("network namespace", False, "", f"cannot make one: {error.strerror}", _ROOT))
        return rows
    rows.append(("network namespace", True, "unshare(CLONE_NEWNET)", "", ""))

    def tried(what: str, how: str, remedy: str, steps: Callable[[], None]) -> None:
        try:
            steps()
        except OSError as error:
            rows.append((what, False, "", f"cannot set it up: {error.strerror or error}", remedy))
        else:
            rows.append((what, True, how, "", ""))

    def cable() -> None:
        links.connect(route, BRIDGE, _NAMES.cable, _ADDRESS, inside, None)
        links.furnish(inside, _ADDRESS, _SUBNET.prefixlen, _GATEWAY, _nothing)

    def rules() -> None:
        sender = firewall.Sender(_NAMES.cable, links.mac(_ADDRESS), _ADDRESS)
        entrance = Port("tcp", 80, _ADDRESS, 80)
        firewall.replace(netfilter, BRIDGE, links.ports(BRIDGE), _SUBNET, [sender], [entrance], only_ours=True)

    tried(
        "bridge",
        "rtnetlink",
        "a kernel with CONFIG_BRIDGE (modprobe bridge)",
        lambda: links.make_bridge(route, BRIDGE, _GATEWAY, _SUBNET.prefixlen, "probe"),
    )
    tried(
        "cable into a sandbox", "veth, isolated port", "a kernel with CONFIG_VETH (modprobe veth), 4.18 or newer", cable
    )
    tried(
        "firewall and translation of addresses",
        "nftables, families ip and bridge",
        "a kernel with CONFIG_NF_TABLES_IPV4, CONFIG_NF_TABLES_BRIDGE, CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_CT, "
        "CONFIG_NFT_FIB_IPV4 (modprobe nf_tables nft_chain_nat nft_masq nft_fib_ipv4)",
        rules,
    )
    tried(
        "bandwidth a sandbox receives",
        "tc tbf",
        "a kernel with CONFIG_NET_SCH_TBF (modprobe sch_tbf)",
        lambda: links.limit(route, _NAMES, {"ingress": 8_000_000}, _nothing),
    )
    tried(
        "bandwidth a sandbox sends",
        "tc tbf on an ifb",
        "a kernel with CONFIG_IFB, CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_U32, CONFIG_NET_ACT_MIRRED "
        "(modprobe ifb sch_ingress cls_u32 act_mirred)",
        lambda: links.limit(route, _NAMES, {"egress": 8_000_000}, _nothing),
    )
    return rows


def _nothing(step: str) -> None:
    """Nobody counts the steps here."""


def _forwarding() -> Row:
    what, path = "forwarding of packets", "/proc/sys/net/ipv4/ip_forward"
    try:
        with open(path, "r+", encoding="ascii") as file:
            on = file.read().strip() == "1"
    except OSError as error:
        return (
            what,
            False,
            "",
            f"cannot change {path}: {error.strerror}",
            "sysctl net.ipv4.ip_forward=1, or run as root",
        )
    return what, True, "on" if on else "off; switched on while a sandbox has a private network", "", ""
