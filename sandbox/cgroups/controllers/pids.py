"""pids: how many processes and threads there may be; fork fails with EAGAIN beyond."""

from __future__ import annotations

from .kind import Controller, Limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.spec import Limits


def _limit(limits: Limits) -> Limit | None:
    if limits.pids is None:
        return None

    def got(read: Callable[[str], str]) -> str:
        text = read("pids.max")
        return "no limit" if text == "max" else text

    return Limit(str(limits.pids), (("pids.max", str(limits.pids)),), got)


ROW = Controller("pids", _limit, _limit)
