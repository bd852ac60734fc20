"""The share of a processor a process gets under load: nice(2). Below what it is takes CAP_SYS_NICE."""

from __future__ import annotations

from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asked import Privileges
    from .kind import Kernel, Step


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    if asked.nice is None:
        return []
    if not -20 <= asked.nice <= 19:  # the kernel would take the nearest and not say so
        raise Refused("nice", f"{asked.nice} is not within -20 to 19")
    return [("nice", asked.nice)]


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    return [] if asked.nice is None else [("nice", str(asked.nice))]


ROW = Privilege("nice", _steps, _describe)
