"""The rules, as values, and their one transaction: what the leases say replaces whatever was there.

Nothing is added or removed one by one. All rules follow from the leases, so they are written anew at every change, in
one transaction of the kernel's: there is no half of it, no rule of somebody's who is gone, and rules that somebody else
flushed are back. Connections do not notice: the kernel keeps their translations apart from the rules.

Two tables, named after the bridge. One sees frames as they come out of a sandbox, before the bridge does:

    chain frames   (bridge, prerouting)   from an interface of a sandbox: IPv4 and ARP, with the address of its lease
                                          as sender, in the frame and in the packet; all else is dropped, IPv6 too

The other sees packets of the host's IPv4:

    chain loopback (prerouting, raw)      a sandbox does not reach 127.0.0.0/8 of the host
    chain arriving (prerouting, dstnat)   to an address of the host and a published port: to the sandbox
    chain calling  (output, dstnat)       the same for what the host itself sends, from 127.0.0.1 too
    chain leaving  (postrouting, srcnat)  a sandbox goes out under the host's address; and comes to another (through
                                          a published port) under the bridge's, so that the answer takes the same way
    chain passing  (forward)              into a sandbox come answers, and what was translated; nothing else
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from pyroute2.netlink.nfnetlink import nftsocket as nft

from .leases import Port
from .netlink import APPEND, CREATE, Netlink

_IPV4 = 2
_BRIDGE = 7

# Hooks, and priorities: of the IPv4 family's (linux/netfilter_ipv4.h) and of the bridge's (netfilter_bridge.h).
_PREROUTING, _FORWARD, _OUTPUT, _POSTROUTING = 0, 2, 3, 4
_RAW, _DSTNAT, _FILTER, _SRCNAT = -300, -100, 0, 100
_BRIDGE_FIRST = -300

# Registers: 16 bytes in the first, the others are counted in words of 4 from it.
_VERDICT, _FIRST = 0, 1


def _word(number: int) -> int:
    return 8 + number


_DROP, _ACCEPT, _GOTO = 0, 1, -4
_LINK_HEADER, _NETWORK_HEADER, _TRANSPORT_HEADER = 0, 1, 2
_EQUAL, _DIFFERENT = 0, 1

_FIB_DADDR = 1 << 1
_RTN_LOCAL = 2
_ESTABLISHED_OR_RELATED = 1 << 1 | 1 << 2
_DNATED = 1 << 5  # of a connection: its destination was translated
_MAP = "NFT_SET_MAP"
_NAT_DESTINATION = 1
_ARP_OF_ETHERNET = struct.pack(">HHBB", 1, 0x0800, 6, 4)

_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}


class Sender(NamedTuple):
    """Who may send what: the host's end of a sandbox's cable, and the addresses at the other end."""

    interface: str
    mac: str
    address: str


def replace(
    netlink: Netlink,
    bridge: str,
    ports: str,
    subnet: ipaddress.IPv4Network,
    senders: Iterable[Sender],
    entrances: Iterable[Port],
    only_ours: bool,
) -> None:
    """Write all rules of a bridge anew. Raises netlink.Refused, and nothing has changed.

    `ports`: what the names of its ports begin with. `entrances`: the ports published. The bridge's own address is the
    first of the subnet. `only_ours`: the host forwards for nobody else.
    """
    allowed = [_name(each.interface) + _mac(each.mac) + _ip(each.address) for each in senders]
    led = [
        (
            struct.pack(">B3xH2x", _PROTOCOLS[each.protocol], each.host),
            _ip(each.address) + struct.pack(">H2x", each.container),
        )
        for each in entrances
    ]
    messages = [
        *_emptied(bridge),
        *_frames(bridge, ports, allowed),
        *_packets(bridge, subnet, led, only_ours),
    ]
    netlink.transaction(messages)


def remove(netlink: Netlink, bridge: str) -> None:
    """Take both tables away, if they are there."""
    netlink.transaction(list(_emptied(bridge, anew=False)))


_Message = tuple[int, int, Any]


def _emptied(table: str, anew: bool = True) -> Iterator[_Message]:
    """A table that is not there cannot be removed: so it is made first."""
    for family in (_BRIDGE, _IPV4):
        yield _table(nft.NFT_MSG_NEWTABLE, family, table)
        yield _table(nft.NFT_MSG_DELTABLE, family, table)
        if anew:
            yield _table(nft.NFT_MSG_NEWTABLE, family, table)


def _frames(table: str, ports: str, allowed: Sequence[bytes]) -> Iterator[_Message]:
    key = 16 + 8 + 4
    yield _set(_BRIDGE, table, "leases", key)
    yield _chain(_BRIDGE, table, "frames", "filter", _PREROUTING, _BRIDGE_FIRST)
    yield _chain(_BRIDGE, table, "of_sandboxes")
    yield _rule(_BRIDGE, table, "frames", _iifname(), _is(ports.encode()), _verdict(_GOTO, "of_sandboxes"))
    yield _rule(
        _BRIDGE,
        table,
        "of_sandboxes",
        *_ethertype(0x0800),
        _iifname(),
        _load(_LINK_HEADER, 6, 6, _word(4)),
        _load(_NETWORK_HEADER, 12, 4, _word(6)),
        _lookup("leases"),
        _verdict(_ACCEPT),
    )
    yield _rule(  # twice the sender: of the frame, and of what it claims
        _BRIDGE,
        table,
        "of_sandboxes",
        *_ethertype(0x0806),
        _load(_NETWORK_HEADER, 0, 6),
        _is(_ARP_OF_ETHERNET),
        _iifname(),
        _load(_LINK_HEADER, 6, 6, _word(4)),
        _load(_NETWORK_HEADER, 14, 4, _word(6)),
        _lookup("leases"),
        _load(_NETWORK_HEADER, 8, 6, _word(4)),
        _lookup("leases"),
        _verdict(_ACCEPT),
    )
    yield _rule(_BRIDGE, table, "of_sandboxes", _verdict(_DROP))
    yield from _elements(_BRIDGE, table, "leases", [(each, None) for each in allowed])


def _packets(
    table: str,
    subnet: ipaddress.IPv4Network,
    led: Sequence[tuple[bytes, bytes]],
    only_ours: bool,
) -> Iterator[_Message]:
    bridge, gateway = _name(table), (subnet.network_address + 1).packed
    yield _set(_IPV4, table, "published", 8, 8)

    yield _chain(_IPV4, table, "loopback", "filter", _PREROUTING, _RAW)
    yield _rule(
        _IPV4,
        table,
        "loopback",
        _iifname(),
        _is(bridge),
        _load(_NETWORK_HEADER, 16, 1),
        _is(b"\x7f"),
        _verdict(_DROP),
    )

    for chain, hook in (("arriving", _PREROUTING), ("calling", _OUTPUT)):
        yield _chain(_IPV4, table, chain, "nat", hook, _DSTNAT)
        yield _rule(
            _IPV4,
            table,
            chain,
            _expression("fib", dreg=_FIRST, result=_FIB_ADDRTYPE, flags=_FIB_DADDR),
            _is(struct.pack("=I", _RTN_LOCAL)),
            _expression("meta", dreg=_word(0), key=int(nft.Meta.NFT_META_L4PROTO)),
            _load(_TRANSPORT_HEADER, 2, 2, _word(1)),
            _lookup("published", into=_word(4)),
            _expression("nat", type=_NAT_DESTINATION, family=_IPV4, reg_addr_min=_word(4), reg_proto_min=_word(5)),
        )

    yield _chain(_IPV4, table, "leaving", "nat", _POSTROUTING, _SRCNAT)
    yield _rule(_IPV4, table, "leaving", *_from(subnet), _load(_NETWORK_HEADER, 12, 4), _is_not(gateway), _masquerade())
    loopback = ipaddress.IPv4Network("127.0.0.0/8")
    yield _rule(_IPV4, table, "leaving", _oifname(), _is(bridge), *_from(loopback), _masquerade())

    yield _chain(_IPV4, table, "passing", "filter", _FORWARD, _FILTER)
    state = _expression("ct", dreg=_FIRST, key=_CT_STATE)
    status = _expression("ct", dreg=_FIRST, key=_CT_STATUS)
    yield _rule(_IPV4, table, "passing", state, *_any_of(_ESTABLISHED_OR_RELATED), _verdict(_ACCEPT))
    yield _rule(_IPV4, table, "passing", _oifname(), _is(bridge), status, *_any_of(_DNATED), _verdict(_ACCEPT))
    yield _rule(_IPV4, table, "passing", _oifname(), _is(bridge), _verdict(_DROP))
    if only_ours:
        yield _rule(_IPV4, table, "passing", _iifname(), _is_not(bridge), _verdict(_DROP))
    yield from _elements(_IPV4, table, "published", led)


# -- messages


def _message(kind: Any, family: int, attributes: list[tuple[str, Any]]) -> Any:
    message = kind()
    message["nfgen_family"] = family
    message["attrs"] = attributes
    return message


def _table(verb: int, family: int, name: str) -> _Message:
    flags = CREATE if verb == nft.NFT_MSG_NEWTABLE else 0
    return verb, flags, _message(nft.nft_table_msg, family, [("NFTA_TABLE_NAME", name)])


def _chain(family: int, table: str, name: str, kind: str = "", hook: int = 0, priority: int = 0) -> _Message:
    attributes: list[tuple[str, Any]] = [("NFTA_CHAIN_TABLE", table), ("NFTA_CHAIN_NAME", name)]
    if kind:
        place = {"attrs": [("NFTA_HOOK_HOOKNUM", hook), ("NFTA_HOOK_PRIORITY", priority)]}
        attributes += [("NFTA_CHAIN_HOOK", place), ("NFTA_CHAIN_POLICY", _ACCEPT), ("NFTA_CHAIN_TYPE", kind)]
    return nft.NFT_MSG_NEWCHAIN, CREATE, _message(nft.nft_chain_msg, family, attributes)


def _rule(family: int, table: str, chain: str, *expressions: Any) -> _Message:
    attributes = [
        ("NFTA_RULE_TABLE", table),
        ("NFTA_RULE_CHAIN", chain),
        ("NFTA_RULE_EXPRESSIONS", list(expressions)),
    ]
    return nft.NFT_MSG_NEWRULE, CREATE | APPEND, _message(nft.nft_rule_msg, family, attributes)


def _set(family: int, table: str, name: str, key: int, data: int = 0) -> _Message:
    attributes: list[tuple[str, Any]] = [
        ("NFTA_SET_TABLE", table),
        ("NFTA_SET_NAME", name),
        ("NFTA_SET_KEY_LEN", key),
        ("NFTA_SET_ID", 1),
        ("NFTA_SET_FLAGS", {_MAP} if data else set()),
    ]
    if data:
        attributes += [("NFTA_SET_DATA_TYPE", 0), ("NFTA_SET_DATA_LEN", data)]
    return nft.NFT_MSG_NEWSET, CREATE, _message(nft.nft_set_msg, family, attributes)


def _elements(family: int, table: str, name: str, pairs: Sequence[tuple[bytes, bytes | None]]) -> Iterator[_Message]:
    """A list's length has 16 bits: so, several of them."""
    for start in range(0, len(pairs), 500):
        listed: list[dict[str, Any]] = []
        for key, data in pairs[start : start + 500]:
            element: list[tuple[str, Any]] = [("NFTA_SET_ELEM_KEY", _data(key))]
            if data is not None:
                element.append(("NFTA_SET_ELEM_DATA", _data(data)))
            listed.append({"attrs": element})
        attributes = [
            ("NFTA_SET_ELEM_LIST_TABLE", table),
            ("NFTA_SET_ELEM_LIST_SET", name),
            ("NFTA_SET_ELEM_LIST_ELEMENTS", listed),
        ]
        yield nft.NFT_MSG_NEWSETELEM, CREATE, _message(nft.nft_set_elem_list_msg, family, attributes)


# -- expressions: what a rule does, step by step, between registers

#: Three. pyroute2 takes this number for a set of bits: here are the names of its two lowest.
_FIB_ADDRTYPE = {"NFT_FIB_RESULT_UNSPEC", "NFT_FIB_RESULT_OIF"}
_CT_STATE, _CT_STATUS = 0, 2


def _expression(name: str, **fields: Any) -> dict[str, Any]:
    data = [(f"NFTA_{name.upper()}_{key.upper()}", value) for key, value in fields.items()]
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", {"attrs": data})]}


def _data(value: bytes) -> dict[str, Any]:
    return {"attrs": [("NFTA_DATA_VALUE", value)]}


def _load(base: int, offset: int, length: int, register: int = _FIRST) -> dict[str, Any]:
    return _expression("payload", dreg=register, base=base, offset=offset, len=length)


def _iifname() -> dict[str, Any]:
    return _expression("meta", dreg=_FIRST, key=int(nft.Meta.NFT_META_IIFNAME))


def _oifname() -> dict[str, Any]:
    return _expression("meta", dreg=_FIRST, key=int(nft.Meta.NFT_META_OIFNAME))


def _ethertype(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    return _load(_LINK_HEADER, 12, 2), _is(struct.pack(">H", number))


def _is(value: bytes) -> dict[str, Any]:
    """Of a name without its zeros: begins with it."""
    return _expression("cmp", sreg=_FIRST, op=_EQUAL, data=_data(value))


def _is_not(value: bytes) -> dict[str, Any]:
    return _expression("cmp", sreg=_FIRST, op=_DIFFERENT, data=_data(value))


def _masked(mask: bytes) -> dict[str, Any]:
    nothing = _data(b"\0" * len(mask))
    return _expression("bitwise", sreg=_FIRST, dreg=_FIRST, len=len(mask), mask=_data(mask), xor=nothing)


def _any_of(bits: int) -> tuple[dict[str, Any], dict[str, Any]]:
    return _masked(struct.pack("=I", bits)), _is_not(b"\0" * 4)


def _from(network: ipaddress.IPv4Network) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    return _load(_NETWORK_HEADER, 12, 4), _masked(network.netmask.packed), _is(network.network_address.packed)


def _lookup(name: str, into: int | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = {"set": name, "sreg": _FIRST}
    if into is not None:
        fields["dreg"] = into
    return _expression("lookup", **fields)


def _masquerade() -> dict[str, Any]:
    return _expression("masq")


def _verdict(code: int, chain: str = "") -> dict[str, Any]:
    fields: list[tuple[str, Any]] = [("NFTA_VERDICT_CODE", code)]
    if chain:
        fields.append(("NFTA_VERDICT_CHAIN", chain))
    data = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": fields})]}
    return _expression("immediate", dreg=_VERDICT, data=data)


# -- values as they lie in registers: padded to words of 4


def _name(interface: str) -> bytes:
    return interface.encode().ljust(16, b"\0")


def _mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", "")) + b"\0\0"


def _ip(address: str) -> bytes:
    return socket.inet_aton(address)
