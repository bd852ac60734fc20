"""Who goes first when memory is short: proc_pid_oom_score_adj(5). Lower than it is takes CAP_SYS_RESOURCE."""

from __future__ import annotations

from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asked import Privileges
    from .kind import Kernel, Step


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    value = asked.oom_score_adj
    if value is None:
        return []
    if not -1000 <= value <= 1000:
        raise Refused("oom_score_adj", f"{value} is not within -1000 to 1000")
    return [("oom_score_adj", value)]


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    return [] if asked.oom_score_adj is None else [("oom_score_adj", str(asked.oom_score_adj))]


ROW = Privilege("oom_score_adj", _steps, _describe)
