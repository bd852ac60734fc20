"""What the kernel says about quotas, on the generic netlink family VFS_DQUOT (linux/quota.h, linux/genetlink.h).

A warning comes once, when a limit is met, and again only after there was room in between. Who listens from then on
must look at the figure first.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from sandbox.network.netlink import attributes

_GENERIC = 16  # NETLINK_GENERIC
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_HEADER = struct.Struct("=IHHIIBBxx")  # length, type, flags, sequence, port; command, version
_ATTRIBUTE = struct.Struct("=HH")
_CTRL, _GETFAMILY = 16, 3
_FAMILY_NAME, _MCAST_GROUPS = 2, 7
_GROUP_ID = 2
_REQUEST = 1
_ERROR = 2

_QTYPE, _EXCESS_ID, _WARNING, _DEV_MAJOR, _DEV_MINOR = 1, 2, 3, 4, 5
_PROJECT = 2
#: QUOTA_NL_*: the first three of inodes, the other three of blocks. What is above them says that there is room again.
_WARNINGS = {1: "files", 2: "files", 3: "files", 4: "bytes", 5: "bytes", 6: "bytes"}


def listen() -> socket.socket | None:
    """None: this kernel tells nobody, or not in this network namespace."""
    heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _GENERIC)
    try:
        heard.bind((0, 0))
        name = b"VFS_DQUOT\0"
        body = _ATTRIBUTE.pack(4 + len(name), _FAMILY_NAME) + name + bytes(-len(name) % 4)
        heard.send(_HEADER.pack(_HEADER.size + len(body), _CTRL, _REQUEST, 1, 0, _GETFAMILY, 1) + body)
        answer = heard.recv(1 << 16)
        if _HEADER.unpack_from(answer)[1] == _ERROR:
            heard.close()
            return None
        for _, group in attributes(_fields(answer[_HEADER.size :])[_MCAST_GROUPS]):
            heard.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _number(_fields(group)[_GROUP_ID]))
        heard.setblocking(False)
    except (OSError, KeyError):
        heard.close()
        return None
    return heard


def read(heard: socket.socket) -> Iterator[tuple[int, int, str]]:
    """(device, project, "bytes" or "files") of each limit of a project that was met."""
    while True:
        try:
            said = heard.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: some were lost; the look that follows finds what they said
            continue
        while len(said) >= _HEADER.size:
            length = _HEADER.unpack_from(said)[0]
            fields = _fields(said[_HEADER.size : length])
            said = said[(length + 3) & ~3 :] if length >= _HEADER.size else b""
            what = _WARNINGS.get(_number(fields.get(_WARNING, b"")))
            if what is not None and _number(fields.get(_QTYPE, b"")) == _PROJECT:
                device = os.makedev(_number(fields[_DEV_MAJOR]), _number(fields[_DEV_MINOR]))
                yield device, _number(fields[_EXCESS_ID]), what


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _fields(data: bytes) -> dict[int, bytes]:
    return dict(attributes(data))
