"""Networks at their ends: the leases lost, the bridge full."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_host import Host, Refused, inside

pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as made:
        yield made


def test_where_the_leases_were_lost_the_next_gets_a_network_at_once(host: Host) -> None:
    address = host.address("one", host.sandbox(), bandwidth={"egress": 8_000_000})
    shutil.rmtree(host.state)
    again = host.sandbox()
    assert host.address("two", again) == address
    assert host.links() == ["lo", "thermos0", "thermos0.2", "up0"]
    assert os.readlink(f"{host.state}/{address}") == "two"
    host.down("two")
    assert host.links() == ["lo", "up0"]


def test_a_full_bridge_says_so_and_nothing_of_the_attempt_stays(host: Host) -> None:
    host.up("one", host.sandbox())
    from pyroute2 import IPRoute

    with inside(host.pid), IPRoute() as route:
        (bridge,) = route.link_lookup(ifname="thermos0")
        for number in range(511):
            route.link("add", ifname=f"p{number}", kind="veth", master=bridge, peer={"ifname": f"q{number}"})
            route.link("set", index=socket.if_nametoindex(f"q{number}"), master=bridge)
    during = host.links()
    with pytest.raises(Refused, match=r"cannot lay a cable .*: the bridge thermos0 has 1023 ports"):
        host.up("two", host.sandbox())
    assert host.links() == during
    assert not any(os.readlink(f"{host.state}/{each}") == "two" for each in os.listdir(host.state) if "98" in each)
