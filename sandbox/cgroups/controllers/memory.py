"""memory: pages of the group, page cache included. Over the limit and nothing to reclaim: the OOM killer."""

from __future__ import annotations

from .kind import Controller, Limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.spec import Limits


def size(number: int) -> str:
    """Bytes as people write them: the largest binary unit that keeps the number whole, or a rounded one."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if number >= unit:
            return f"{number / unit:.4g} {name}"
    return f"{number} B"


def _shown(text: str) -> str:
    # Version 1 has no word for "no limit": it shows the largest number of pages there can be.
    return "no limit" if text == "max" or int(text) > 1 << 60 else size(int(text))


def _v1(limits: Limits) -> Limit | None:
    if limits.memory is None:
        return None

    def got(read: Callable[[str], str]) -> str:
        return _shown(read("memory.limit_in_bytes"))

    return Limit(size(limits.memory), (("memory.limit_in_bytes", str(limits.memory)),), got)


def _v2(limits: Limits) -> Limit | None:
    if limits.memory is None:
        return None

    def got(read: Callable[[str], str]) -> str:
        return _shown(read("memory.max"))

    return Limit(size(limits.memory), (("memory.max", str(limits.memory)),), got)


ROW = Controller("memory", _v1, _v2)
