"""What goes through a private network and what does not, by real traffic between namespaces."""

from __future__ import annotations

import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadline import until
from network_host import (
    COMES,
    DOES_NOT,
    HOST,
    OUTSIDE,
    Host,
    connect,
    datagrams,
    inside,
    listen,
    reaches,
    refuses,
)

pytestmark = pytest.mark.root

GATEWAY = "10.98.0.1"
WEB = [{"host": 31001, "container": 8080, "protocol": "tcp"}]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as host:
        yield host


def test_two_sandboxes_have_addresses_of_their_own_and_reach_the_host(host: Host) -> None:
    one, two = host.sandbox(), host.sandbox()
    addresses = [host.address("one", one), host.address("two", two)]
    assert len(set(addresses)) == 2
    with listen(host.pid, "", 7000) as listener:
        assert [reaches(pid, GATEWAY, 7000, listener) for pid in (one, two)] == addresses


def test_a_sandbox_has_its_own_loopback(host: Host) -> None:
    one = host.sandbox()
    host.up("one", one)
    with listen(one, "127.0.0.1", 7000) as listener:
        assert reaches(one, "127.0.0.1", 7000, listener) == "127.0.0.1"


def test_the_world_outside_is_reached_under_the_hosts_address(host: Host) -> None:
    one = host.sandbox()
    host.up("one", one)
    with listen(host.outside, "", 7000) as listener:
        assert reaches(one, OUTSIDE, 7000, listener) == HOST


def test_the_world_outside_does_not_reach_a_sandbox_by_its_address(host: Host) -> None:
    one = host.sandbox()
    address = host.address("one", one)
    from pyroute2 import IPRoute

    with inside(host.outside), IPRoute() as route:
        route.route("add", dst="10.98.0.0/16", gateway=HOST)
    with listen(one, "", 7000) as listener:
        assert refuses(host.outside, address, 7000)
        assert reaches(host.pid, address, 7000, listener) == GATEWAY


def test_the_host_does_not_forward_for_others_because_sandboxes_need_it(host: Host) -> None:
    """The outside is left by one interface and comes back by another: what the host never did, it does not do now."""
    far = host.sandbox()
    from pyroute2 import IPRoute

    with inside(host.pid), IPRoute() as route:
        route.link("add", ifname="far0", kind="veth", peer={"ifname": "eth0", "net_ns_pid": far})
        (cable,) = route.link_lookup(ifname="far0")
        route.addr("add", index=cable, address="198.51.100.1", prefixlen=24)
        route.link("set", index=cable, state="up")
    with inside(far), IPRoute() as route:
        (cable,) = route.link_lookup(ifname="eth0")
        route.addr("add", index=cable, address="198.51.100.2", prefixlen=24)
        route.link("set", index=cable, state="up")
        route.route("add", gateway="198.51.100.1")
    with inside(host.outside), IPRoute() as route:
        route.route("add", dst="198.51.100.0/24", gateway=HOST)
    with listen(host.outside, "", 7000) as listener:
        assert refuses(far, OUTSIDE, 7000)
        host.up("one", host.sandbox())
        assert host.read("ip_forward") == "1"
        assert refuses(far, OUTSIDE, 7000)
        host.down("one")
        host.write("ip_forward", "1")
        host.up("one", host.sandbox())
        assert reaches(far, OUTSIDE, 7000, listener) == "198.51.100.2"


@pytest.mark.parametrize("br_netfilter", ["0", "1"])
def test_a_published_port_is_reached_from_everywhere(host: Host, br_netfilter: str) -> None:
    one, two = host.sandbox(), host.sandbox()
    set_br_netfilter(host, br_netfilter)
    assert host.up("one", one, publish=WEB)["published"] == WEB
    host.up("two", two)
    with listen(one, "", 8080) as listener:
        assert reaches(host.outside, HOST, 31001, listener) == OUTSIDE
        assert reaches(host.pid, "127.0.0.1", 31001, listener) == GATEWAY
        assert reaches(host.pid, HOST, 31001, listener) == HOST
        assert reaches(two, GATEWAY, 31001, listener) == GATEWAY
        assert reaches(two, HOST, 31001, listener) == GATEWAY
        assert reaches(one, GATEWAY, 31001, listener) == GATEWAY


def set_br_netfilter(host: Host, value: str) -> None:
    """Whether packets on a bridge see the rules for packets already there, as programs before us may have wanted."""
    with inside(host.pid):
        switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
        if switch.exists():
            switch.write_text(value)


def test_a_published_udp_port_answers_under_the_hosts_address(host: Host) -> None:
    one = host.sandbox()
    host.up("one", one, publish=[{"host": 31053, "container": 53, "protocol": "udp"}])
    with datagrams(one, "", 53) as server:
        for pid, address in ((host.outside, HOST), (host.pid, "127.0.0.1")):
            with datagrams(pid) as client:
                client.sendto(b"ask", (address, 31053))
                asked, whom = server.recvfrom(10)
                server.sendto(asked + b"ed", whom)
                assert client.recvfrom(10) == (b"asked", (address, 31053))


def test_a_port_of_one_protocol_is_not_published_for_the_other(host: Host) -> None:
    one = host.sandbox()
    host.up("one", one, publish=WEB)
    with datagrams(one, "", 8080) as server, datagrams(host.outside) as client:
        client.sendto(b"ask", (HOST, 31001))
        server.settimeout(DOES_NOT)
        with pytest.raises(TimeoutError):
            server.recv(10)


@pytest.mark.parametrize("br_netfilter", ["0", "1"])
def test_sandboxes_do_not_reach_each_other_but_by_published_ports(host: Host, br_netfilter: str) -> None:
    one, two = host.sandbox(), host.sandbox()
    set_br_netfilter(host, br_netfilter)
    address = host.address("one", one, publish=WEB)
    host.up("two", two)
    with listen(one, "", 8080) as listener:
        assert refuses(two, address, 8080)
        knows(two, address, "02:74:0a:62:00:02")
        assert refuses(two, address, 8080)
        knows(two, address, "02:74:0a:62:00:01")  # by way of the host
        assert refuses(two, address, 8080)
        assert reaches(host.pid, address, 8080, listener) == GATEWAY
        assert reaches(two, GATEWAY, 31001, listener) == GATEWAY


def test_a_sandbox_does_not_hear_what_another_says_to_all(host: Host) -> None:
    one, two = host.sandbox(), host.sandbox()
    set_br_netfilter(host, "0")  # with it, the rules for what is passed on stop that too
    host.up("one", one)
    host.up("two", two)
    with datagrams(one, "", 7000) as hears, datagrams(two) as says, datagrams(host.pid) as host_says:
        says.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        host_says.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        says.sendto(b"all", ("10.98.255.255", 7000))
        host_says.sendto(b"from the host", ("10.98.255.255", 7000))
        assert hears.recv(20) == b"from the host"


def knows(pid: int, address: str, at: str) -> None:
    """Who may change its own interface needs not ask where an address is."""
    from pyroute2 import IPRoute

    with inside(pid), IPRoute() as route:
        (eth,) = route.link_lookup(ifname="eth0")
        route.neigh("replace", dst=address, lladdr=at, ifindex=eth, state=0x80)


def test_without_isolated_ports_and_rules_they_would_reach_each_other(host: Host) -> None:
    one, two = host.sandbox(), host.sandbox()
    address = host.address("one", one)
    other = host.address("two", two)
    from pyroute2 import IPRoute

    remove_rules(host)
    with inside(host.pid), IPRoute() as route:
        (bridge,) = route.link_lookup(ifname="thermos0")
        for name in ("thermos0.2", "thermos0.3"):  # taken off and put back, it is a port like any other
            (port,) = route.link_lookup(ifname=name)
            route.link("set", index=port, master=0)
            route.link("set", index=port, master=bridge)
    with listen(one, "", 8080) as listener:
        assert reaches(two, address, 8080, listener) == other


def remove_rules(host: Host) -> None:
    from pyroute2.nftables.main import NFTables

    for family in (2, 7):
        with inside(host.pid), NFTables(nfgen_family=family) as nft:
            nft.table("del", name="thermos0")


@pytest.mark.parametrize("br_netfilter", ["0", "1"])
def test_services_on_the_hosts_loopback_are_out_of_reach(host: Host, br_netfilter: str) -> None:
    one = host.sandbox()
    set_br_netfilter(host, br_netfilter)
    host.up("one", one, publish=WEB)
    with listen(host.pid, "127.0.0.1", 7000):
        assert refuses(one, GATEWAY, 7000)
        assert refuses(one, HOST, 7000)
    with datagrams(host.pid, "127.0.0.1", 7001) as server:
        server.settimeout(DOES_NOT)
        send(one, frame("10.98.0.2", "127.0.0.1", 7001))
        with pytest.raises(TimeoutError):
            server.recv(10)
        remove_rules(host)
        send(one, frame("10.98.0.2", "127.0.0.1", 7001))
        server.settimeout(COMES)
        assert server.recv(10) == b"forged"


# -- forged senders: frames as a process with CAP_NET_RAW in the sandbox can make them


def mac(address: str) -> bytes:
    return b"\x02\x74" + socket.inet_aton(address)


def frame(source: str, to: str, port: int, sender: bytes | None = None) -> bytes:
    """A UDP datagram in an Ethernet frame to the bridge."""
    data = struct.pack(">HHHH", 9, port, 8 + 6, 0) + b"forged"
    packet = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), 1, 0, 64, socket.IPPROTO_UDP, 0)
    packet += socket.inet_aton(source) + socket.inet_aton(to)
    packet = packet[:10] + checksum(packet) + packet[12:]
    return mac(GATEWAY) + (sender or mac(source)) + b"\x08\x00" + packet + data


def checksum(header: bytes) -> bytes:
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", 0xFFFF & ~(total + (total >> 16)))


def arp(says: str, at: bytes, sender: bytes) -> bytes:
    """An answer that nobody asked for: `says` is at `at`."""
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 2) + at + socket.inet_aton(says) + mac(GATEWAY)
    return mac(GATEWAY) + sender + b"\x08\x06" + body + socket.inet_aton(GATEWAY)


def send(pid: int, data: bytes) -> None:
    with inside(pid), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(data)


@pytest.mark.parametrize(
    ("source", "sender"),
    [("10.98.0.3", None), ("10.98.0.3", mac("10.98.0.2")), ("10.98.0.2", mac("10.98.0.3")), ("203.0.113.9", None)],
    ids=["the address of another", "only the packet", "only the frame", "of the world outside"],
)
def test_a_packet_with_a_forged_sender_is_dropped(host: Host, source: str, sender: bytes | None) -> None:
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one)
    host.up("two", two)
    host.write("conf/thermos0/rp_filter", "0")
    with datagrams(host.pid, "", 7001) as server:
        send(one, frame("10.98.0.2", GATEWAY, 7001))
        assert server.recv(10) == b"forged"
        send(one, frame(source, GATEWAY, 7001, sender))
        server.settimeout(DOES_NOT)
        with pytest.raises(TimeoutError):
            server.recv(10)
        remove_rules(host)
        send(one, frame(source, GATEWAY, 7001, sender))
        server.settimeout(COMES)
        assert server.recv(10) == b"forged"


def neighbours(host: Host) -> dict[str, str]:
    with inside(host.pid):
        rows = Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]
    return {row.split()[0]: row.split()[3] for row in rows}


def test_an_address_of_another_cannot_be_claimed_by_arp(host: Host) -> None:
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one)
    host.up("two", two)
    host.write("conf/thermos0/arp_accept", "1")
    host.write("neigh/thermos0/locktime", "0")  # else the host believes nothing new for a second
    theirs, mine = "02:74:0a:62:00:03", "02:74:0a:62:00:02"
    with listen(two, "", 8080) as listener, listen(one, "", 8080) as own:
        for pid_listener, address in ((listener, "10.98.0.3"), (own, "10.98.0.2")):
            assert reaches(host.pid, address, 8080, pid_listener) == GATEWAY
    forged = [
        arp("10.98.0.3", mac("10.98.0.2"), mac("10.98.0.2")),
        arp("10.98.0.3", mac("10.98.0.2"), mac("10.98.0.3")),
        arp("10.98.0.3", mac("10.98.0.3"), mac("10.98.0.2")),
        arp("10.98.0.2", mac("10.98.0.3"), mac("10.98.0.2")),
    ]
    with datagrams(host.pid, "", 7001) as server:
        for each in [*forged, frame("10.98.0.2", GATEWAY, 7001)]:
            send(one, each)
        assert server.recv(10) == b"forged"  # the last: the others have been seen
    known = {address: at for address, at in neighbours(host).items() if address in ("10.98.0.2", "10.98.0.3")}
    assert known == {"10.98.0.3": theirs, "10.98.0.2": mine}
    remove_rules(host)
    send(one, forged[0])
    until(lambda: neighbours(host)["10.98.0.3"] == mine)


def test_the_place_of_another_on_the_bridge_cannot_be_taken(host: Host) -> None:
    """Frames to the addresses of link-local protocols pass no rule on their way in, and a bridge may learn of them."""
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one)
    host.up("two", two)
    lldp = bytes.fromhex("0180c200000e") + mac("10.98.0.3") + b"\x88\xcc" + b"\0" * 46
    of_nobody = mac("10.98.0.9")
    send(one, lldp.replace(mac("10.98.0.3"), of_nobody))
    with listen(two, "", 8080) as listener:
        for _ in range(3):
            send(one, lldp)
            assert reaches(host.pid, "10.98.0.3", 8080, listener) == GATEWAY
    from pyroute2 import IPRoute

    with inside(host.pid), IPRoute() as route:
        (port,) = route.link_lookup(ifname="thermos0.3")
        table = list(route.fdb("dump"))
        assert of_nobody.hex(":") not in [each.get_attr("NDA_LLADDR") for each in table]
        entries = [each for each in table if each.get_attr("NDA_LLADDR") == "02:74:0a:62:00:03"]
        assert {each["ifindex"] for each in entries} == {port}
        (told,) = {each["state"] for each in entries}
    assert told == 0x80  # NUD_PERMANENT: neither ages nor moves


def test_there_is_no_ipv6_but_loopback(host: Host) -> None:
    one = host.sandbox()
    host.up("one", one)
    with inside(one):
        addresses = Path("/proc/thread-self/net/if_inet6").read_text().split("\n")
    assert [line.split()[0] for line in addresses if line] == ["0" * 31 + "1"]
    with inside(host.pid):
        host_side = Path("/proc/thread-self/net/if_inet6").read_text()
    assert "thermos0" not in host_side


# -- bandwidth


def rates(host: Host) -> dict[str, int]:
    """Bits per second of the token buckets, by interface."""
    from pyroute2 import IPRoute

    with inside(host.pid), IPRoute() as route:
        return {
            socket.if_indextoname(each["index"]): 8 * each.get_attr("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")["rate"]
            for each in route.get_qdiscs()
            if each.get_attr("TCA_KIND") == "tbf"
        }


def test_bandwidth_is_limited_in_each_direction(host: Host) -> None:
    """A megabyte at 8 Mbit/s takes a second, less what may be sent at once; unlimited it takes a few milliseconds."""
    one = host.sandbox()
    answer = host.up("one", one, bandwidth={"egress": 8_000_000, "ingress": 16_000_000})
    assert answer["bandwidth"] == {"egress": 8_000_000, "ingress": 16_000_000}
    assert rates(host) == {"thermos0.2": 16_000_000, "thermos0i2": 8_000_000}

    def took(receiver: int, sender: int, address: str) -> float:
        with listen(receiver, "", 7000) as listener, connect(sender, address, 7000) as out:
            into, _ = listener.accept()
            with into:
                return _transfer(out, into, 1 << 20)

    assert took(host.pid, one, GATEWAY) > 0.4
    assert took(one, host.pid, "10.98.0.2") > 0.2


def _transfer(out: socket.socket, into: socket.socket, length: int) -> float:
    """Seconds until so many bytes have come through."""
    out.setblocking(False)
    into.setblocking(False)
    sent, received, began = 0, 0, time.monotonic()
    while received < length:
        readable, writable, _ = select.select([into], [out] if sent < length else [], [], COMES)
        assert readable or writable
        if writable:
            sent += out.send(b"x" * min(1 << 16, length - sent))
        if readable:
            received += len(into.recv(1 << 16))
    return time.monotonic() - began


def test_a_limit_cannot_be_lifted_from_inside(host: Host) -> None:
    from pyroute2 import IPRoute

    one = host.sandbox()
    host.up("one", one, bandwidth={"egress": 8_000_000})
    with inside(one), IPRoute() as route:
        (eth,) = route.link_lookup(ifname="eth0")
        assert [each.get_attr("TCA_KIND") for each in route.get_qdiscs(index=eth) if each["index"] == eth] == [
            "noqueue"
        ]


# -- changes around a network that is up


def test_a_connection_lives_on_while_others_come_and_go(host: Host) -> None:
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one, publish=WEB)
    with listen(one, "", 8080) as listener, connect(host.outside, HOST, 31001) as caller:
        answerer, _ = listener.accept()
        with answerer:
            answerer.settimeout(COMES)
            for change in (lambda: host.up("two", two), lambda: host.down("two")):
                change()
                caller.sendall(b"still")
                assert answerer.recv(5) == b"still"


def test_rules_that_somebody_flushed_are_back_with_the_next_change(host: Host) -> None:
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one, publish=WEB)
    with listen(one, "", 8080) as listener:
        remove_rules(host)
        assert refuses(host.outside, HOST, 31001)
        host.up("two", two)
        assert reaches(host.outside, HOST, 31001, listener) == OUTSIDE


def test_a_port_published_anew_leads_to_its_new_holder_at_once(host: Host) -> None:
    """Also for a client that goes on sending: the kernel's memory of its datagrams is that of the old holder."""
    publish = [{"host": 31053, "container": 53, "protocol": "udp"}]
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one, publish=publish)
    with datagrams(host.outside) as client:
        with datagrams(one, "", 53) as server:
            client.sendto(b"first", (HOST, 31053))
            assert server.recv(10) == b"first"
        host.down("one")
        assert host.address("two", two, publish=publish) == "10.98.0.3"
        with datagrams(two, "", 53) as server:
            client.sendto(b"second", (HOST, 31053))
            assert server.recv(10) == b"second"


@pytest.mark.parametrize("few", [1000, 0], ids=["of few", "of many"])
def test_of_its_connections_the_kernel_remembers_none_and_of_others_all(
    host: Host, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox.network import connections
    from sandbox.network.netlink import NETFILTER, Netlink

    monkeypatch.setattr(connections, "_FEW", few)
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one, publish=[{"host": 31053, "container": 53, "protocol": "udp"}])
    host.up("two", two)
    with datagrams(one, "", 53) as server, datagrams(host.outside) as client:
        client.sendto(b"to it", (HOST, 31053))
        server.recv(10)
    with datagrams(host.outside, "", 7000) as server, datagrams(one) as client, datagrams(two) as other:
        for sender in (client, other):
            sender.sendto(b"from", (OUTSIDE, 7000))
            server.recv(10)
    assert remembered(host) == {(OUTSIDE, HOST), ("10.98.0.2", OUTSIDE), ("10.98.0.3", OUTSIDE)}
    with inside(host.pid), Netlink(NETFILTER) as netlink:
        connections.forget(netlink, "10.98.0.2")
    assert remembered(host) == {("10.98.0.3", OUTSIDE)}


def remembered(host: Host) -> set[tuple[str, str]]:
    """(source, destination) of the kernel's connections, as their first packet had them."""
    with inside(host.pid):
        lines = Path("/proc/thread-self/net/nf_conntrack").read_text().splitlines()
    pairs = [re.findall(r"(?:src|dst)=(\S+)", line)[:2] for line in lines if " udp " in line]
    return {(source, destination) for source, destination in pairs}


def test_a_namespace_owned_by_a_user_namespace_gets_a_network_too(host: Host) -> None:
    one = host.sandbox("--user", "--map-root-user")
    address = host.address("one", one, publish=WEB)
    with listen(host.pid, "", 7000) as listener:
        assert reaches(one, GATEWAY, 7000, listener) == address
    with listen(one, "", 8080) as listener:
        assert reaches(host.outside, HOST, 31001, listener) == OUTSIDE
