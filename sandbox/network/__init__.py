"""A network of a sandbox's own: an address behind a bridge, published ports, bandwidth, and nothing else in reach.

The work is done by a program, `sandbox.network up | down | sweep | probe`, because it takes pyroute2, which is too
heavy for a process that stays. This module is what such a process needs to start it, and imports next to nothing.

The program reads one JSON object from its standard input, and writes one to its standard output. It imports before it
reads: started early, it costs the one who waits for its answer only the kernel's part. Exit status 0: the answer. 1:
`{"cannot": a sentence, "step": what it was doing}`, and the host is as it was before. A program that dies leaves what
the next `up` or `sweep` removes.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal

_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

#: What is taken where the caller says nothing.
SUBNET = "10.98.0.0/16"
BRIDGE = "thermos0"


def command(verb: Literal["up", "down", "sweep", "probe"], pid: int = 0) -> list[str]:
    """The program's command line. `pid` takes the place of the request's: so that this can be written beforehand."""
    roots = list(dict.fromkeys([_HERE, *(path for path in sys.path if path.endswith("-packages"))]))
    code = f"import sys; sys.path[:0] = {roots!r}; from sandbox.network.__main__ import main; main()"
    return [sys.executable, "-I", "-S", "-X", "utf8", "-c", code, verb, *([str(pid)] if pid else [])]


def up(
    holder: str,
    state: str,
    pid: int = 0,
    subnet: str = SUBNET,
    bridge: str = BRIDGE,
    publish: Sequence[Mapping[str, Any]] = (),
    bandwidth: Mapping[str, int | None] | None = None,
    mtu: int | None = None,
) -> dict[str, Any]:
    """The request for a network in the namespace of the process `pid`, for JSON.

    `holder`: whose it will be. `state`: the directory that knows all of the host's leases. `publish`: mappings with
    `host` and `container` (ports) and `protocol` ("tcp", the default, or "udp"). `bandwidth`: `egress`, what the
    sandbox sends, and `ingress`, what it gets, in bits per second; None: unlimited.

    The answer: `address` ("10.98.0.5/16"), `gateway`, `interface`, `published` (as asked), `bandwidth` (as set).
    """
    return {
        "holder": holder,
        "state": state,
        "pid": pid,
        "subnet": subnet,
        "bridge": bridge,
        "publish": [dict(each) for each in publish],
        "bandwidth": dict(bandwidth or {}),
        "mtu": mtu,
    }


def down(holder: str, state: str) -> dict[str, Any]:
    """The request to take a holder's network away. Answer: `released`, its addresses; none is no error."""
    return {"holder": holder, "state": state}


def sweep(state: str, alive: Sequence[str] | str | None = None) -> dict[str, Any]:
    """The request to take away the networks of those who are gone. Answer: `released`, {address: holder}.

    Gone is who has no interface any more: the kernel removes it with the last process of its namespace. With `alive`,
    so is who is not in it: a list of holders, or a directory with an entry of the name of each.
    """
    return {"state": state, "alive": alive}


def probe() -> list[tuple[str, bool, str, str, str]]:
    """What the host can do of this, each tried and undone: (what, works, how, why not, remedy)."""
    import json
    import subprocess

    done = subprocess.run(command("probe"), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return [("private network", False, "", f"cannot try it: {why}", "")]
    if "cannot" in answer:
        return [("private network", False, "", answer["cannot"], "")]
    return [tuple(row) for row in answer["rows"]]
