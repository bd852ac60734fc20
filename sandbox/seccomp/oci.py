"""Profiles as container tools write them: OCI's runtime-spec (`linux.seccomp`) and what Docker adds to it. Pure.

    {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": [...], "flags": [...],
     "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1,
                   "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}]}

Docker adds `archMap` in place of `architectures`, `name` in place of `names`, and `includes` and `excludes` of
`arches`, `caps` and `minKernel`: conditions for a rule to be there at all. Podman adds `defaultErrno` and `errno`,
an error's name, which goes before its number.

Read as runc reads it: names that no table has are passed over; a rule that does what is done anyway says nothing; of
two conditions on one argument in the same rule each is a rule of its own (libseccomp cannot have both in one). Not as
runc: 32 bit programs are ended whatever `architectures` says, for there are tables of the 64 bit numbers only.
"""

from __future__ import annotations

import errno

from .numbers import NUMBERS
from .profile import (
    ALLOW,
    EQ,
    ERRNO,
    GE,
    GT,
    KILL_PROCESS,
    KILL_THREAD,
    LE,
    LOG,
    LT,
    MASKED_EQ,
    NE,
    TRACE,
    TRAP,
    Condition,
    Profile,
    Rule,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any, cast
else:

    def cast(kind, value):  # `typing` itself takes longer to import than a profile to read
        return value


_ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": LOG,
}
_WITH_NUMBER = (ERRNO, TRACE)

_OPERATORS = {
    "SCMP_CMP_NE": NE,
    "SCMP_CMP_LT": LT,
    "SCMP_CMP_LE": LE,
    "SCMP_CMP_EQ": EQ,
    "SCMP_CMP_GE": GE,
    "SCMP_CMP_GT": GT,
    "SCMP_CMP_MASKED_EQ": MASKED_EQ,
}

#: TSYNC is for processes with threads, and there are none before the program; WAIT_KILLABLE_RECV is for NOTIFY.
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}

#: As Docker's `arches` call them.
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}

_MOST_ERRNO = 4095  # MAX_ERRNO: the kernel makes more of it this
_ANY = 2**64 - 1

_PROFILE = ("defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "flags", "syscalls")
_LISTENER = ("listenerPath", "listenerMetadata")
_CALL = ("names", "name", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes")
_CONDITION = ("index", "value", "valueTwo", "op")
_FILTER = ("arches", "caps", "minKernel")


class BadProfile(ValueError):
    """A profile that cannot be used. `path`: where in it, as `syscalls[3].args[0].op`; `why`: what is wrong there."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path or 'the profile'}: {why}")
        self.path = path
        self.why = why


def profile(document: object, *, machine: str, release: str, capabilities: Collection[str] = ()) -> Profile:
    """The profile a decoded JSON document holds.

    `machine` and `release` as uname(2) says them. `capabilities`: names without CAP_ that the bounding set keeps.
    Raises BadProfile.
    """
    whole = _object(document, "", (*_PROFILE, *_LISTENER))
    for key in _LISTENER:
        if key in whole:
            raise BadProfile(key, "nobody would listen: SCMP_ACT_NOTIFY is not supported")
    if "defaultAction" not in whole:
        raise BadProfile("", "it needs a defaultAction")
    _architectures(whole)
    default = _action(whole, "defaultAction", "defaultErrnoRet", "")
    flags = 0
    for at, flag in enumerate(_list(whole, "flags", "")):
        if flag not in _FLAGS:
            raise BadProfile(f"flags[{at}]", f"{flag!r} is not one of {', '.join(_FLAGS)}")
        flags |= _FLAGS[flag]
    host = _Host(machine, release, capabilities)
    rules: list[Rule] = []
    passed_over: dict[str, None] = {}
    for at, call in enumerate(_list(whole, "syscalls", "")):
        names, made = _call(call, f"syscalls[{at}]", host)
        for name in names:
            if not any(name in numbers for numbers in NUMBERS.values()):
                passed_over[name] = None
                continue
            rules += [Rule(name, action, conditions) for action, conditions in made if action != default]
    permissive = default in (ALLOW, LOG) or default & 0xFFFF0000 == TRACE
    return Profile(
        default,
        rules,
        default if permissive else ERRNO | errno.ENOSYS,
        reaches=not permissive,
        passed_over=tuple(passed_over),
        flags=flags,
    )


def read(text: str, *, machine: str, release: str, capabilities: Collection[str] = ()) -> Profile:
    """The profile a text holds. Raises BadProfile, also for text that is no JSON."""
    import json

    try:
        document: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadProfile(f"line {error.lineno}, column {error.colno}", f"it is not JSON: {error.msg}") from None
    except RecursionError:
        raise BadProfile("", "it is not JSON that can be read: nested too deep") from None
    return profile(document, machine=machine, release=release, capabilities=capabilities)


class _Host:
    __slots__ = ("arch", "capabilities", "release")

    def __init__(self, machine: str, release: str, capabilities: Collection[str]) -> None:
        self.arch = _ARCHES.get(machine, machine)
        self.release = _version(release)
        self.capabilities = frozenset(capabilities)


def _version(text: str) -> tuple[int, int] | None:
    """The first two numbers, which is all that Docker compares."""
    parts = text.split("-")[0].split(".")
    if len(parts) < 2 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return None
    return int(parts[0]), int(parts[1])


def _call(value: object, path: str, host: _Host) -> tuple[list[str], list[tuple[int, tuple[Condition, ...]]]]:
    """The names of a rule, and what is done under which conditions; nothing of both where it is not for this host."""
    call = _object(value, path, _CALL)
    if "name" in call and call.get("names"):
        raise BadProfile(path, "it has both name and names; give one of them")
    names = [_text(call, "name", path)] if "name" in call else _names(call, "names", path)
    if "action" not in call:
        raise BadProfile(path, "it needs an action")
    action = _action(call, "action", "errnoRet", path)
    conditions = [_condition(each, f"{path}.args[{at}]") for at, each in enumerate(_list(call, "args", path))]
    here = _holds(call, "includes", path, host, wanted=True) and _holds(call, "excludes", path, host, wanted=False)
    if not here:
        return [], []
    if len({condition.argument for condition in conditions}) < len(conditions):
        return names, [(action, (condition,)) for condition in conditions]
    return names, [(action, tuple(conditions))]


def _condition(value: object, path: str) -> Condition:
    condition = _object(value, path, _CONDITION)
    index = _number(condition, "index", path, 5)
    operator = _text(condition, "op", path)
    if operator not in _OPERATORS:
        raise BadProfile(f"{path}.op", f"{operator!r} is not one of {', '.join(_OPERATORS)}")
    first = _number(condition, "value", path, _ANY)
    second = _number(condition, "valueTwo", path, _ANY) if condition.get("valueTwo") is not None else 0
    if _OPERATORS[operator] == MASKED_EQ:
        return Condition(index, MASKED_EQ, second, first)
    return Condition(index, _OPERATORS[operator], first)


def _holds(call: dict[str, Any], key: str, path: str, host: _Host, *, wanted: bool) -> bool:
    """Whether `includes` lets a rule be there (each of its conditions is met), or `excludes` (none is)."""
    if call.get(key) is None:
        return True
    path = f"{path}.{key}"
    filters = _object(call[key], path, _FILTER)
    met: list[bool] = []
    if arches := _names(filters, "arches", path):
        met.append(host.arch in arches)
    if capabilities := _names(filters, "caps", path):
        kept = [name.upper().removeprefix("CAP_") in host.capabilities for name in capabilities]
        met.append(all(kept) if wanted else any(kept))
    if filters.get("minKernel"):
        least = _version(_text(filters, "minKernel", path))
        if least is None:
            raise BadProfile(f"{path}.minKernel", f"{filters['minKernel']!r} is not a version like 4.8")
        met.append(host.release is not None and host.release >= least)
    return all(met) if wanted else not any(met)


def _architectures(whole: dict[str, Any]) -> None:
    if whole.get("architectures") and whole.get("archMap"):
        raise BadProfile("archMap", "it has both architectures and archMap; give one of them")
    for at, name in enumerate(_names(whole, "architectures", "")):
        if not name.startswith("SCMP_ARCH_"):
            raise BadProfile(f"architectures[{at}]", f"{name!r} is not a name like SCMP_ARCH_X86_64")
    for at, row in enumerate(_list(whole, "archMap", "")):
        _object(row, f"archMap[{at}]", ("architecture", "subArchitectures"))


def _action(of: dict[str, Any], key: str, number_key: str, path: str) -> int:
    name = _text(of, key, path)
    at = _join(path, key)
    if name == "SCMP_ACT_NOTIFY":
        raise BadProfile(at, "SCMP_ACT_NOTIFY is not supported: nobody would answer. Allow the call or deny it")
    if name not in _ACTIONS:
        raise BadProfile(at, f"{name!r} is not one of {', '.join(_ACTIONS)}")
    action = _ACTIONS[name]
    number, word = of.get(number_key), of.get(number_key.removesuffix("Ret"))
    if action not in _WITH_NUMBER:
        if number or word:
            raise BadProfile(_join(path, number_key), f"{name} takes no number; only SCMP_ACT_ERRNO and _TRACE do")
        return action
    if word:
        found = getattr(errno, word, None) if isinstance(word, str) and word.isupper() else None
        if found is None:
            raise BadProfile(_join(path, number_key.removesuffix("Ret")), f"{word!r} is not a name like EPERM")
        return action | int(found)
    if number is None:
        return action | errno.EPERM
    return action | _number(of, number_key, path, _MOST_ERRNO if action == ERRNO else 0xFFFF)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _object(value: object, path: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadProfile(path, f"it is not an object but {_kind(value)}")
    found = cast("dict[str, Any]", value)
    for key in found:
        if key not in keys:
            raise BadProfile(_join(path, key), f"there is no such field; there are {', '.join(keys)}")
    return found


def _list(of: dict[str, Any], key: str, path: str) -> list[Any]:
    value: object = of.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadProfile(_join(path, key), f"it is not a list but {_kind(value)}")
    found: list[Any] = of[key]
    return found


def _names(of: dict[str, Any], key: str, path: str) -> list[str]:
    found = _list(of, key, path)
    for at, each in enumerate(found):
        if not isinstance(each, str):
            raise BadProfile(f"{_join(path, key)}[{at}]", f"it is not a text but {_kind(each)}")
    return found


def _text(of: dict[str, Any], key: str, path: str) -> str:
    value = of.get(key)
    if not isinstance(value, str):
        raise BadProfile(_join(path, key), f"it is not a text but {_kind(value)}")
    return value


def _number(of: dict[str, Any], key: str, path: str, most: int) -> int:
    value = of.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise BadProfile(_join(path, key), f"{value!r} is not a whole number from 0 to {most}")
    return value


def _kind(value: object) -> str:
    kinds: dict[type, str] = {bool: "true or false", str: "a text", int: "a number", float: "a number", list: "a list"}
    return "nothing" if value is None else kinds.get(type(value), "an object")
