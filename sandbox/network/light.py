"""Import only the parts of pyroute2 that encode messages: 60 ms instead of 200.

Importing anything of pyroute2 runs its `__init__`, which imports all of it, and its sockets import asyncio. Here its
messages are wanted and not its sockets (see `netlink.py`), so two empty modules stand in for what is not used. That is
for a process of one's own: whoever imported pyroute2 there afterwards would find it incomplete.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

_MESSAGES = (
    "pyroute2.netlink.nfnetlink.nftsocket",
    "pyroute2.netlink.rtnl.ifaddrmsg",
    "pyroute2.netlink.rtnl.ifinfmsg",
    "pyroute2.netlink.rtnl.ndmsg",
    "pyroute2.netlink.rtnl.rtmsg",
)


def import_messages() -> None:
    """Import pyroute2's messages: the light way if this release of it lets us, the usual way if not."""
    if _imported():
        return
    found = importlib.util.find_spec("pyroute2")
    if found is None or found.submodule_search_locations is None:
        return  # whoever imports it says what is wrong
    package = ModuleType("pyroute2")
    package.__path__ = list(found.submodule_search_locations)
    sockets = ModuleType("pyroute2.netlink.nlsocket")
    sockets.NetlinkSocket = sockets.AsyncNetlinkSocket = object  # type: ignore[attr-defined]
    sys.modules.update({"pyroute2": package, sockets.__name__: sockets})
    try:
        for name in _MESSAGES:
            importlib.import_module(name)
    except (ImportError, AttributeError, TypeError):
        for name in _imported():
            del sys.modules[name]


def _imported() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]
