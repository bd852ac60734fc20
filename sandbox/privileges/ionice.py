"""Whose reads and writes go first: ioprio_set(2). The disk's scheduler must look at it (bfq, mq-deadline)."""

from __future__ import annotations

from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asked import Privileges
    from .kind import Kernel, Step

#: Names of ionice(1) -> IOPRIO_CLASS_*. Idle has no levels.
_CLASSES = {"realtime": 1, "best-effort": 2, "idle": 3}
_MIDDLE = 4  # what ionice(1) takes where no level is said
_CLASS_SHIFT = 13

_NUMBERS = {"x86_64": 251, "aarch64": 30}


def _value(text: str) -> int:
    name, colon, level = text.partition(":")
    if name not in _CLASSES:
        raise Refused("ionice", f"{text!r} is not idle, best-effort:0-7 or realtime:0-7")
    if name == "idle":
        if colon:
            raise Refused("ionice", "idle has no levels")
        return _CLASSES[name] << _CLASS_SHIFT
    if colon and level not in tuple("01234567"):
        raise Refused("ionice", f"{level!r} is not a level from 0 to 7")
    return _CLASSES[name] << _CLASS_SHIFT | (int(level) if colon else _MIDDLE)


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    if asked.ionice is None:
        return []
    value = _value(asked.ionice)
    if kernel.machine not in _NUMBERS:
        raise Refused("ionice", f"the number of ioprio_set on {kernel.machine} is not known")
    return [("ionice", _NUMBERS[kernel.machine], value, asked.ionice)]


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    return [] if asked.ionice is None else [("ionice", asked.ionice)]


ROW = Privilege("ionice", _steps, _describe)
