from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from observer.listen import Address, CannotListen, bind, is_ours, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:1338", Address("127.0.0.1", 1338)),
        ("[::1]:80", Address("::1", 80)),
        (":80", Address("", 80)),
        ("unix:/run/x.sock", Address(path="/run/x.sock")),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "unix:", "127.0.0.1", "localhost:http", "a:70000", "a:-1"])
def test_what_is_no_address_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot listen on .*: give "):
        parse(text)


@pytest.mark.parametrize("host", ["127.0.0.1:1338", "[::1]:1338", "[::1]", "localhost", "LOCALHOST.:1", "10.0.0.7:80"])
def test_addresses_and_local_names_are_ours(host: str) -> None:
    assert is_ours(host)


def test_the_name_of_this_machine_is_ours() -> None:
    assert is_ours(f"{socket.gethostname()}:1338")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:1338", "127.0.0.1.evil.example", "xlocalhost", ":80"])
def test_names_others_can_own_are_not(host: str) -> None:
    assert not is_ours(host)


def test_only_owner_and_group_may_connect_to_the_unix_socket(tmp_path: Path) -> None:
    with bind(Address(path=f"{tmp_path}/x.sock")):
        assert stat.S_IMODE(os.stat(f"{tmp_path}/x.sock").st_mode) == 0o660


def test_a_socket_left_behind_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    address = Address(path=f"{tmp_path}/x.sock")
    bind(address).close()
    with bind(address) as listener:
        listener.listen()
        with pytest.raises(CannotListen, match="another observer may run"):
            bind(address)


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("precious")
    with pytest.raises(CannotListen):
        bind(Address(path=f"{tmp_path}/x"))
    assert (tmp_path / "x").read_text() == "precious"


def test_a_port_in_use_is_named() -> None:
    with bind(Address("127.0.0.1", 0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            bind(Address("127.0.0.1", port))
