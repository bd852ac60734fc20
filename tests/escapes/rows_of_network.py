"""Escapes by the host's network, where a task shares it: which is what it does unless its file says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from escapes import Bait, Scene, escape

_NO_ADMIN = "CAP_NET_ADMIN is gone"
_NO_RAW = "CAP_NET_RAW is gone; seccomp denies AF_PACKET"


def interfaces(scene: Scene) -> str:
    return Path(f"/proc/{scene.stage.pid}/net/dev").read_text()


@escape("root", stopped_by=_NO_RAW)
def listen_to_what_others_send(scene: Scene) -> Iterator[Bait]:
    code = """
import os, socket, sys, time
print(os.getpid(), flush=True)
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    sender.sendto(sys.argv[1].encode(), ("127.0.0.1", 9))
    time.sleep(0.01)
"""
    scene.stage.start(code, scene.secret)
    yield Bait(scene.heard)


@escape("root", stopped_by=_NO_RAW)
def send_under_a_false_address(scene: Scene) -> Iterator[Bait]:
    code = """
import os, socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
print(os.getpid(), receiver.getsockname()[1], flush=True)
open("/srv/bait/heard", "w").write(receiver.recvfrom(100)[1][0])
"""
    receiver = scene.stage.start(code)
    yield Bait(lambda: scene.text("/srv/bait/heard") == "127.66.66.66", patience=0.3, port=receiver.said[1])


@escape("root", stopped_by=_NO_ADMIN)
def take_an_interface_down(scene: Scene) -> Iterator[Bait]:
    file = Path(f"/proc/{scene.stage.pid}/net/if_inet6")
    yield Bait(lambda: "lo" not in file.read_text())


@escape("root", stopped_by=_NO_ADMIN)
def add_an_interface(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: "planted" in interfaces(scene))


@escape("root", stopped_by=f"{_NO_ADMIN}; there is no /dev/net/tun")
def add_a_tunnel(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: "planted" in interfaces(scene))


@escape("root", stopped_by=_NO_ADMIN)
def add_a_route(scene: Scene) -> Iterator[Bait]:
    file = Path(f"/proc/{scene.stage.pid}/net/route")
    yield Bait(lambda: "lo\t0042420A\t" in file.read_text())


@escape("root", stopped_by=_NO_ADMIN)
def add_an_address(scene: Scene) -> Iterator[Bait]:
    file = Path(f"/proc/{scene.stage.pid}/net/fib_trie")
    yield Bait(lambda: "10.66.66.66" in file.read_text())


@escape("root", stopped_by=_NO_ADMIN)
def add_a_packet_filter(scene: Scene) -> Iterator[Bait]:
    """A list of the tables there are, as the kernel dumps it to root, has the name of the one that was added."""
    code = """
import socket, struct
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
netlink.send(struct.pack("=IHHIIBBH", 20, 10 << 8 | 1, 0x301, 1, 0, 0, 0, 0))
print(b"planted" in netlink.recv(65536))
"""
    yield Bait(lambda: scene.stage.ask(code) == "True", only_at_the_end=True)


@escape("root", stopped_by="/proc/sys is read-only; CAP_NET_ADMIN is gone")
def write_a_setting_of_the_network(scene: Scene) -> Iterator[Bait]:
    look = "print(open('/proc/sys/net/ipv4/ip_default_ttl').read())"
    yield Bait(lambda: scene.stage.ask(look) == "66", only_at_the_end=True)
