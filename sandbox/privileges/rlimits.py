"""Limits of one process, getrlimit(2). Those of the whole sandbox are its cgroup's.

RLIMIT_CORE stays as it is unless it is asked: where core dumps go is the host's decision (core_pattern, usually a
program outside the sandbox, which RLIMIT_CORE does not hold back), and somebody who looks for a crash wants them.
"""

from __future__ import annotations

from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asked import Privileges
    from .kind import Kernel, Step

_IN_ORDER = "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime"

#: In the order of their numbers, the same on x86_64 and aarch64: <asm-generic/resource.h>.
NAMES: tuple[str, ...] = tuple(_IN_ORDER.split())

UNLIMITED = -1  # RLIM_INFINITY, as Python says it
_MOST = 2**63 - 1

#: To be set last: what is done before takes some.
_OF_MEMORY = ("as", "data", "stack")


def _limits(name: str, text: str) -> tuple[int, int]:
    field = f"rlimits[{name}]"
    if name not in NAMES:
        raise Refused(field, f"there is no such limit; there are {', '.join(NAMES)}")
    parts = text.split(":")
    if len(parts) > 2:
        raise Refused(field, f"{text!r} is not SOFT:HARD, or one for both")
    soft, hard = (_limit(field, part) for part in (parts[0], parts[-1]))
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise Refused(field, f"the soft limit of {text!r} is above the hard one")
    return soft, hard


def _limit(field: str, text: str) -> int:
    if text == "unlimited":
        return UNLIMITED
    if not (text.isascii() and text.isdecimal()) or int(text) > _MOST:
        raise Refused(field, f"{text!r} is neither a whole number nor unlimited")
    return int(text)


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    limits = [(name, *_limits(name, text)) for name, text in asked.rlimits.items()]
    limits.sort(key=lambda limit: limit[0] in _OF_MEMORY)
    return [("rlimit", NAMES.index(name), soft, hard, name) for name, soft, hard in limits]


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    return [(f"rlimit {name}", text) for name, text in asked.rlimits.items()]


ROW = Privilege("rlimits", _steps, _describe)
