"""What putting networks up and taking them down leaves on the host, whatever goes wrong, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadline import until
from network_host import HOST, Host, Refused, datagrams, inside, listen, reaches

from sandbox import network
from sandbox.network import private

pytestmark = pytest.mark.root

STEPS = str(Path(__file__).with_name("network_steps.py"))
WEB = [{"host": 31001, "container": 8080, "protocol": "tcp"}]
LIMITS = {"egress": 8_000_000, "ingress": 8_000_000}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as host:
        yield host


def end(pid: int) -> None:
    os.kill(pid, 9)


# -- nothing stays


def test_nothing_is_left_after_the_last_is_taken_down(host: Host) -> None:
    before = host.everything()
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one, publish=WEB, bandwidth=LIMITS)
    host.up("two", two)
    during = host.everything()
    assert during["links"] == ["lo", "thermos0", "thermos0.2", "thermos0.3", "thermos0i2", "up0"]
    assert during["tables"] == ["thermos0", "thermos0"]
    assert during["switches"]["ip_forward"] == "1"
    assert host.down("one") == {"released": {"10.98.0.2": "one"}}
    assert host.everything()["links"] == ["lo", "thermos0", "thermos0.3", "up0"]
    assert host.down("two") == {"released": {"10.98.0.3": "two"}}
    assert host.everything() == before


def test_taking_down_what_is_not_there_is_no_error(host: Host) -> None:
    before = host.everything()
    assert host.down("nobody") == {"released": {}}
    assert host.sweep() == {"released": {}}
    assert host.everything() == before


def test_what_is_left_of_one_whose_processes_were_killed_is_swept(host: Host) -> None:
    before = host.everything()
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one, publish=WEB, bandwidth=LIMITS)
    host.up("two", two)
    end(one)
    until(lambda: "thermos0.2" not in host.links())  # the kernel takes its end of the cable away by itself
    assert host.sweep() == {"released": {"10.98.0.2": "one"}}
    assert host.links() == ["lo", "thermos0", "thermos0.3", "up0"]
    end(two)
    until(lambda: "thermos0.3" not in host.links())
    assert host.sweep() == {"released": {"10.98.0.3": "two"}}
    assert host.everything() == before


def test_one_who_comes_up_sweeps_first(host: Host) -> None:
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one, publish=WEB)
    with pytest.raises(Refused, match="tcp port 31001 of the host leads to one"):
        host.up("two", two, publish=WEB)
    end(one)
    until(lambda: "thermos0.2" not in host.links())
    assert host.up("two", two, publish=WEB)["published"] == WEB


def test_a_caller_may_say_who_lives(host: Host, tmp_path: Path) -> None:
    for name in ("one", "two"):
        host.up(name, host.sandbox())
    (tmp_path / "alive").mkdir()
    (tmp_path / "alive" / "two").touch()
    assert host.sweep(["one", "two"]) == {"released": {}}
    assert host.sweep(str(tmp_path / "alive")) == {"released": {"10.98.0.2": "one"}}
    assert host.sweep([]) == {"released": {"10.98.0.3": "two"}}


def test_a_holder_that_comes_again_gets_a_network_in_place_of_the_one_it_had(host: Host) -> None:
    one, again = host.sandbox(), host.sandbox()
    host.up("one", one, publish=WEB)
    host.up("one", again, publish=WEB)
    with inside(host.pid), listen(again, "", 8080) as listener:
        assert reaches(host.outside, HOST, 31001, listener) is not None
    assert list(host.down("one")["released"].values()) == ["one"]


def test_addresses_go_round_before_one_is_given_again(host: Host) -> None:
    pid = host.sandbox()
    given = []
    for _ in range(6):
        given.append(host.address("one", pid, subnet="10.98.0.0/29"))
        host.down("one")
    assert given == [f"10.98.0.{last}" for last in (2, 3, 4, 5, 6, 2)]


def test_ten_at_once_get_ten_addresses(host: Host) -> None:
    before = host.everything()
    pids = [host.sandbox() for _ in range(10)]
    started = [
        host.start(
            "up", network.up(f"task-{number}", host.state, pid, publish=[{"host": 31000 + number, "container": 80}])
        )
        for number, pid in enumerate(pids)
    ]
    addresses = {host.answer(each)["address"].partition("/")[0] for each in started}
    assert len(addresses) == 10
    for number, pid in enumerate(pids):
        with listen(pid, "", 80) as listener:
            assert reaches(host.outside, HOST, 31000 + number, listener) is not None
    ended = [host.start("down", network.down(f"task-{number}", host.state)) for number in range(10)]
    assert {address for each in ended for address in host.answer(each)["released"]} == addresses
    assert host.everything() == before


# -- failure at every step


def stopped(host: Host, verb: str, request: dict[str, object], number: int, how: str) -> str:
    argv = ["nsenter", f"--net=/proc/{host.pid}/ns/net", sys.executable, STEPS, verb, str(number), how]
    done = subprocess.run(argv, input=json.dumps(request), capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("others", [[], ["other"]], ids=["alone", "beside another"])
def test_a_failure_at_any_step_leaves_the_host_as_it_was(host: Host, others: list[str]) -> None:
    """Alone, where the bridge and the rules are made too, and beside another, whose network goes on."""
    request = network.up("one", host.state, host.sandbox(), publish=WEB, bandwidth=LIMITS)
    beside = {name: host.sandbox() for name in others}
    addresses = {name: host.address(name, pid) for name, pid in beside.items()}
    before = host.everything()
    steps: list[str] = []
    while step := stopped(host, "up", request, len(steps) + 1, "fail"):
        steps.append(step)
        assert host.everything() == before, step
    assert len(steps) > 12
    with listen(host.pid, "", 7000) as listener:
        assert {name: reaches(pid, "10.98.0.1", 7000, listener) for name, pid in beside.items()} == addresses


def test_a_death_at_any_step_leaves_nothing_that_is_not_swept(host: Host) -> None:
    before = host.everything()
    steps: list[str] = []
    while True:
        pid = host.sandbox()
        request = network.up("one", host.state, pid, publish=WEB, bandwidth=LIMITS)
        step = stopped(host, "up", request, len(steps) + 1, "die")
        if not step:
            break
        steps.append(step)
        end(pid)
        until(lambda: not any(name.startswith("thermos0.") for name in host.links()))
        host.sweep()
        assert host.everything() == before, step
    assert len(steps) > 12


def test_after_a_death_at_any_step_the_same_holder_can_come_again(host: Host) -> None:
    before = host.everything()
    pid = host.sandbox()
    request = network.up("one", host.state, pid, publish=WEB, bandwidth=LIMITS)
    steps: list[str] = []
    while step := stopped(host, "up", request, len(steps) + 1, "die"):
        steps.append(step)
        host.up("one", pid, publish=WEB, bandwidth=LIMITS)
        with listen(pid, "", 8080) as listener:
            assert reaches(host.outside, HOST, 31001, listener) is not None, step
        host.down("one")
        assert host.everything() == before, step
    assert len(steps) > 12


def test_a_death_at_any_step_of_the_way_down_leaves_nothing_that_is_not_swept(host: Host) -> None:
    before = host.everything()
    number, step = 0, "?"
    while step:
        number += 1
        host.up("one", host.sandbox(), publish=WEB, bandwidth=LIMITS)
        step = stopped(host, "down", network.down("one", host.state), number, "die")
        host.down("one")
        assert host.everything() == before, step
    assert number > 3


# -- what is refused, and says why


def test_a_port_that_somebody_listens_on_is_not_published(host: Host) -> None:
    before = host.everything()
    one = host.sandbox()
    with listen(host.pid, "", 31001):
        with pytest.raises(Refused) as refused:
            host.up("one", one, publish=WEB)
    assert str(refused.value) == (
        "cannot publish tcp port 31001: tcp port 31001 of the host is in use: Address already in use"
    )
    with datagrams(host.pid, "", 31053), pytest.raises(Refused, match="udp port 31053 of the host is in use"):
        host.up("one", one, publish=[{"host": 31053, "container": 53, "protocol": "udp"}])
    assert host.everything() == before


def test_a_port_that_is_published_is_not_published_again(host: Host) -> None:
    one, two = host.sandbox(), host.sandbox()
    host.up("one", one, publish=WEB)
    during = host.everything()
    with pytest.raises(Refused, match="cannot publish tcp port 31001: tcp port 31001 of the host leads to one"):
        host.up("two", two, publish=[{"host": 31001, "container": 9090}])
    assert host.everything() == during


def test_the_hosts_own_network_is_not_touched(host: Host) -> None:
    before = host.everything()
    with pytest.raises(Refused, match=r"cannot open its network namespace: .* is the host's own network"):
        host.up("one", host.pid)
    assert host.everything() == before


def test_a_process_that_is_gone_has_no_network(host: Host) -> None:
    with pytest.raises(Refused, match=r"cannot open its network namespace: No such file or directory \(/proc/"):
        host.up("one", 1 << 22)


def test_a_namespace_that_has_such_an_interface_already_is_left_alone(host: Host) -> None:
    from pyroute2 import IPRoute

    one = host.sandbox()
    with inside(one), IPRoute() as route:
        route.link("add", ifname="eth0", kind="bridge")
    before = host.everything()
    with pytest.raises(Refused, match="cannot lay a cable from the bridge into the sandbox: File exists"):
        host.up("one", one)
    assert host.everything() == before


def test_an_interface_that_is_somebody_elses_is_left_alone(host: Host) -> None:
    from pyroute2 import IPRoute

    with inside(host.pid), IPRoute() as route:
        route.link("add", ifname="thermos0", kind="bridge")
    before = host.everything()
    with pytest.raises(Refused, match="there is an interface thermos0 that is not ours; name another bridge"):
        host.up("one", host.sandbox())
    assert host.everything() == before
    host.up("one", host.sandbox(), bridge="mine")
    assert "mine.2" in host.links()


def test_a_subnet_that_the_host_has_a_route_to_is_refused(host: Host) -> None:
    before = host.everything()
    with pytest.raises(Refused, match=r"203\.0\.113\.0/25 overlaps 203\.0\.113\.0/24, to which the host has a route"):
        host.up("one", host.sandbox(), subnet="203.0.113.0/25")
    assert host.everything() == before


def test_one_directory_of_leases_is_for_one_subnet(host: Host) -> None:
    host.up("one", host.sandbox())
    with pytest.raises(Refused, match=r"those who have a network here have it on thermos0, 10\.98\.0\.0/16"):
        host.up("two", host.sandbox(), subnet="10.99.0.0/16")
    host.down("one")
    assert host.up("two", host.sandbox(), subnet="10.99.0.0/16")["address"] == "10.99.0.2/16"


def test_one_bridge_is_for_one_directory_of_leases(host: Host) -> None:
    host.up("one", host.sandbox())
    during, mine = host.everything(), host.state
    host.state = mine + "-of-another"
    with pytest.raises(Refused, match="there is an interface thermos0 that is not ours; name another bridge"):
        host.up("two", host.sandbox())
    assert host.up("two", host.sandbox(), bridge="other", subnet="10.99.0.0/16")["address"] == "10.99.0.2/16"
    host.down("two")
    host.state = mine
    assert host.everything() == during


def test_a_full_subnet_says_so(host: Host) -> None:
    for number in range(5):
        host.up(f"task-{number}", host.sandbox(), subnet="10.98.0.0/29")
    during = host.everything()
    with pytest.raises(Refused, match=r"cannot lease an address: all 5 addresses of 10\.98\.0\.0/29 are held"):
        host.up("one-more", host.sandbox(), subnet="10.98.0.0/29")
    assert host.everything() == during


WITHOUT_RIGHTS = ["setpriv", "--bounding-set", "-all"]


def test_without_rights_it_is_told_what_it_takes(tmp_path: Path) -> None:
    request = network.up("one", str(tmp_path / "networks"), os.getpid())
    argv = [*WITHOUT_RIGHTS, *network.command("up")]
    done = subprocess.run(argv, input=json.dumps(request), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "cannot": "cannot change the host's network: only root may (CAP_NET_ADMIN and CAP_SYS_ADMIN); without root a "
        "sandbox has the host's network, or none",
        "step": "change the host's network",
    }


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"subnet": "10.98.0.1/16"}, "subnet: 10.98.0.1/16 has host bits set"),
        ({"subnet": "10.0.0.0/8"}, "subnet: 10.0.0.0/8 is not from /16 to /29"),
        ({"bridge": "a/b"}, "bridge: 'a/b' is no name of at most 9 letters, digits, _ and -"),
        ({"bridge": "longer-than-9"}, "bridge: 'longer-than-9' is no name"),
        ({"publish": [{"host": 0, "container": 1}]}, r"publish\[0\].host: 0 is not a whole number from 1 to 65535"),
        ({"publish": [{"host": 1}]}, r"publish\[0\].container: None is not a whole number"),
        ({"publish": [{"host": 1, "container": 1, "protocol": "sctp"}]}, "'sctp' is neither tcp nor udp"),
        ({"bandwidth": {"egress": 10}}, "bandwidth.egress: 10 is not a whole number from 8000 to"),
        ({"bandwidth": {"up": 10_000}}, "bandwidth.up: it is neither ingress nor egress"),
        ({"mtu": 100}, "mtu: 100 is not a whole number from 576 to 65535"),
    ],
)
def test_a_request_that_makes_no_sense_says_where(tmp_path: Path, asked: dict[str, object], why: str) -> None:
    request = {**network.up("one", str(tmp_path / "networks"), os.getpid()), **asked}
    with pytest.raises(private.Cannot, match=f"cannot read the request: .*{why}"):
        private.up(request)
    assert list(tmp_path.iterdir()) == []


# -- the host's own switches


def test_forwarding_that_was_on_stays_on(host: Host) -> None:
    host.write("ip_forward", "1")
    before = host.everything()
    host.up("one", host.sandbox())
    host.down("one")
    assert host.everything() == before


def test_what_the_kernel_changes_with_forwarding_is_put_back(host: Host) -> None:
    host.write("conf/all/accept_redirects", "0")
    host.write("conf/up0/forwarding", "1")
    host.up("one", host.sandbox())
    host.down("one")
    switches = ("ip_forward", "conf/all/accept_redirects", "conf/up0/forwarding", "conf/lo/forwarding")
    assert [host.read(switch) for switch in switches] == ["0", "0", "1", "0"]


def test_the_size_of_packets_can_be_said(host: Host) -> None:
    from pyroute2 import IPRoute

    one = host.sandbox()
    host.up("one", one, mtu=1400)
    with inside(one), IPRoute() as route:
        (eth,) = route.link("get", ifname="eth0")
        assert eth.get_attr("IFLA_MTU") == 1400


def test_the_probe_tries_each_part_and_leaves_nothing(host: Host) -> None:
    before = host.everything()
    rows = network.probe()
    assert [what for what, *_ in rows] == [
        "forwarding of packets",
        "network namespace",
        "bridge",
        "cable into a sandbox",
        "firewall and translation of addresses",
        "bandwidth a sandbox receives",
        "bandwidth a sandbox sends",
    ]
    assert [row for row in rows if not row[1]] == []
    assert host.everything() == before


def test_without_rights_the_probe_says_why_not() -> None:
    done = subprocess.run([*WITHOUT_RIGHTS, *network.command("probe")], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    rows = {row[0]: row[1:] for row in json.loads(done.stdout)["rows"]}
    assert rows["network namespace"] == [
        False,
        "",
        "cannot make one: Operation not permitted",
        "run as root (CAP_NET_ADMIN, CAP_SYS_ADMIN)",
    ]


def test_who_starts_the_program_imports_next_to_nothing_and_the_program_no_event_loop(tmp_path: Path) -> None:
    def imported(code: str) -> set[str]:
        code = f"import sys; {code}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        return set(done.stdout.split())

    assert imported("import sandbox.network") & {"json", "typing", "socket", "subprocess", "pyroute2"} == set()
    program = imported(
        "from sandbox.network.light import import_messages; import_messages(); import sandbox.network.private"
    )
    assert "pyroute2.netlink.nfnetlink.nftsocket" in program
    assert "asyncio" not in program
