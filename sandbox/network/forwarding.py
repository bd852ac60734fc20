"""That the host forwards packets at all: switched on while a sandbox needs it, where it was off, and off again.

The switch, net.ipv4.ip_forward, has side effects: the kernel sets `forwarding` of every interface and the host's
`accept_redirects` with it. Both are noted beforehand, and put back. A host that has it on for reasons of its own is
left alone, which is what somebody should see to who has such reasons.
"""

from __future__ import annotations

import json
import os

_IPV4 = "/proc/sys/net/ipv4"
_NOTE = "forwarding"


def switched(state: str) -> bool:
    """Whether it is on because of us, or would be."""
    return os.path.exists(f"{state}/{_NOTE}") or _read("ip_forward") == "0"


def switch_on(state: str) -> None:
    """Raises OSError."""
    if _read("ip_forward") != "0":
        return
    before = {"conf/all/accept_redirects": _read("conf/all/accept_redirects")}
    for interface in os.listdir(f"{_IPV4}/conf"):
        if _read(f"conf/{interface}/forwarding") == "1":
            before[f"conf/{interface}/forwarding"] = "1"
    draft = f"{state}/{_NOTE}.new"
    with open(draft, "w", encoding="utf-8") as file:
        json.dump(before, file)
    os.rename(draft, f"{state}/{_NOTE}")
    _write("ip_forward", "1")


def restore(state: str) -> None:
    """Raises OSError."""
    try:
        with open(f"{state}/{_NOTE}", encoding="utf-8") as file:
            before: dict[str, str] = json.load(file)
    except FileNotFoundError:
        return
    _write("ip_forward", "0")
    for name, value in before.items():
        try:
            _write(name, value)
        except FileNotFoundError:
            pass  # an interface that is gone
    os.unlink(f"{state}/{_NOTE}")


def let_loopback_pass(bridge: str) -> None:
    """Let 127.0.0.1 be translated on a bridge, so that the host reaches published ports there, as anywhere.

    Otherwise the kernel takes any packet with such an address for a forgery. The chain `loopback` of the rules keeps
    sandboxes from making use of it, and is written before. Raises OSError.
    """
    _write(f"conf/{bridge}/route_localnet", "1")


def _read(name: str) -> str:
    with open(f"{_IPV4}/{name}", encoding="ascii") as file:
        return file.read().strip()


def _write(name: str, value: str) -> None:
    with open(f"{_IPV4}/{name}", "w", encoding="ascii") as file:
        file.write(value)
