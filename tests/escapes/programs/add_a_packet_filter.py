"""Add a table to the host's packet filter by netlink."""

import os
import socket
import struct

NETLINK_NETFILTER, BEGIN, END, NEWTABLE, REQUEST, ACK, CREATE = 12, 16, 17, 10 << 8, 1, 4, 0x400


def message(kind: int, flags: int, number: int, subsystem: int, family: int = 0, body: bytes = b"") -> bytes:
    length = 20 + len(body)
    return (
        struct.pack("=IHHIIBB", length, kind, REQUEST | flags, number, 0, family, 0)
        + struct.pack("!H", subsystem)
        + body
    )


name = struct.pack("HH8s", 12, 1, b"planted")
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
netlink.send(message(BEGIN, 0, 1, 10) + message(NEWTABLE, ACK | CREATE, 2, 0, 2, name) + message(END, 0, 3, 10))
(answer,) = struct.unpack_from("i", netlink.recv(4096), 16)
print(os.strerror(-answer))
