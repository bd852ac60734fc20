"""Where the observer listens, and whom it answers there."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from typing import NamedTuple


class CannotListen(Exception):
    """The message says where and why."""


class Address(NamedTuple):
    """Either a path or a host and port."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return bool(self.path) or self.host == "localhost" or (_is_ip(self.host) and _ip(self.host).is_loopback)


def parse(text: str) -> Address:
    """`127.0.0.1:1338`, `[::1]:1338`, `:1338` (every interface) or `unix:PATH`. Raises ValueError."""
    if text.startswith("unix:"):
        if len(text) == len("unix:"):
            raise ValueError(f"cannot listen on {text}: give a path, as in unix:/run/thermos-observer.sock")
        return Address(path=os.path.abspath(text[len("unix:") :]))
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        raise ValueError(f"cannot listen on {text}: give HOST:PORT, as in 127.0.0.1:1338, or unix:PATH")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def bind(address: Address) -> socket.socket:
    """A socket bound there; asyncio makes it listen. Raises CannotListen."""
    try:
        return _bind_path(address.path) if address.path else _bind_port(address)
    except OSError as error:
        where = address.path or f"{address.host}:{address.port}"
        remedy = "; another observer may run: choose another place with --listen" if _taken(error) else ""
        raise CannotListen(f"cannot listen on {where}: {error.strerror}{remedy}") from None


def _taken(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def _bind_port(address: Address) -> socket.socket:
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, where = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener


def _bind_path(path: str) -> socket.socket:
    """Owner and group may connect. A socket nobody listens on any more is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        try:
            listener.bind(path)
        except OSError as error:
            if not _taken(error) or not _abandoned(path):
                raise
            os.unlink(path)
            listener.bind(path)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _abandoned(path: str) -> bool:
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
    return False


def url(listener: socket.socket) -> str:
    """Where a browser finds it; of a Unix socket, its path."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    if _ip(host).is_unspecified:
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_ours(host: str) -> bool:
    """Whether a Host header names this machine.

    A page of a foreign site may let its own name resolve to 127.0.0.1 and then read what it likes from here (DNS
    rebinding), but the browser still sends that name. Addresses and this machine's own names cannot be had that way.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    name = name.removeprefix("[").removesuffix("]").rstrip(".").lower()
    own = socket.gethostname().lower()
    return name in ("localhost", own, own.partition(".")[0]) or name.endswith(".localhost") or _is_ip(name)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _is_ip(text: str) -> bool:
    try:
        _ip(text)
    except ValueError:
        return False
    return True
