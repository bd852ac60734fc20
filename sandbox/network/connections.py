"""The kernel's memory of connections: those of an address are forgotten with it.

An entry outlives its connection, by days where the other side has just gone silent, and it translates: a client that
goes on sending datagrams to a published port would reach the address of a holder who is gone, and not the next one.
"""

from __future__ import annotations

import socket
import struct

from .netlink import DUMP, Netlink, Refused, attributes

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # of the subsystem ctnetlink
_IPV4 = struct.pack(">BBH", socket.AF_INET, 0, 0)
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _IP_V4_SRC = 1, 1
_NESTED = 1 << 15
_BY_SOURCE = 1 << 0

#: As many connections are read as fast as the table is walked.
_FEW = 1000


def forget(netlink: Netlink, address: str) -> None:
    """Of connections from an address, and of those to it, whose answers come from it.

    The kernel walks its whole table for each question, which takes 20 ms where it is large and empty. So where there
    are few connections all of them are asked for, and where there is none nothing is. Nothing is done where the kernel
    cannot be asked: its entries end by themselves.
    """
    wanted = socket.inet_aton(address)
    count = _count()
    questions = [_IPV4] if count <= _FEW else [_question(each, wanted) for each in (_TUPLE_ORIG, _TUPLE_REPLY)]
    for question in questions if count else ():
        try:
            answers = netlink.ask(_GET, DUMP, question)
        except Refused:
            return
        for _, body in answers:
            found = dict(attributes(body[4:]))
            if wanted not in (_source(found.get(_TUPLE_ORIG, b"")), _source(found.get(_TUPLE_REPLY, b""))):
                continue
            which = _attribute(_TUPLE_ORIG | _NESTED, found[_TUPLE_ORIG])
            which += b"".join(_attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
            try:
                netlink.call(_DELETE, 0, _IPV4 + which)
            except Refused:
                pass  # it ended just now


def _count() -> int:
    try:
        with open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return 0  # the kernel remembers none


def _question(direction: int, address: bytes) -> bytes:
    source = _attribute(_TUPLE_IP | _NESTED, _attribute(_IP_V4_SRC, address))
    only = _attribute(direction, struct.pack("=I", _BY_SOURCE))  # since Linux 5.8; before, all are listed
    return _IPV4 + _attribute(direction | _NESTED, source) + _attribute(_FILTER | _NESTED, only)


def _source(tuple_: bytes) -> bytes | None:
    return dict(attributes(dict(attributes(tuple_)).get(_TUPLE_IP, b""))).get(_IP_V4_SRC)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
