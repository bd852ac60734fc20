"""devices: the device nodes that a group may open or make. Version 1 has files for it, version 2 a BPF program."""

from __future__ import annotations

import errno

from .kind import Change, Figure, Limit, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.spec import Limits

    from .kind import Place, Read

    Rules = dict[str, str]  # "c 1:3" -> some of "rwm"

#: Version 1.
LIST, ALLOW, DENY = "devices.list", "devices.allow", "devices.deny"
#: Version 2 has no file. What is written to this name is attached as a program, one rule a line.
PROGRAM = "bpf:devices"

#: What every process may use: it holds nothing of anybody's. 136 are the terminals of /dev/pts.
HARMLESS = {
    "c 1:3": "null",
    "c 1:5": "zero",
    "c 1:7": "full",
    "c 1:8": "random",
    "c 1:9": "urandom",
    "c 5:0": "tty",
    "c 5:2": "ptmx",
    "c 136:*": "pts",
}

_ALL = "a *:* rwm"
_REASONS = {
    errno.EINVAL: "there are groups below it already, which may use every device",
    errno.EPERM: "it takes root, and the group above must have it",
}


def parse(text: str) -> Rules:
    """Lines of `<c or b> <major>:<minor> <access>`, in whatever order of the letters "rwm"."""
    rules: Rules = {}
    for line in text.splitlines():
        kind, numbers, access = line.split()
        rules[f"{kind} {numbers}"] = _letters(rules.get(f"{kind} {numbers}", "") + access)
    return rules


def _letters(access: str) -> str:
    return "".join(letter for letter in "rwm" if letter in access)


def _less(some: Rules, others: Rules) -> list[str]:
    """What the first ones allow beyond the others, as lines."""
    left = {device: "".join(set(access) - set(others.get(device, ""))) for device, access in some.items()}
    return [f"{device} {_letters(access)}" for device, access in left.items() if access]


def _rule(text: str, place: Place) -> str:
    """A rule as the kernel has it. Raises ValueError."""
    words = text.split()
    access = words.pop() if len(words) > 1 and not set(words[-1]) - set("rwm") else "rwm"
    if len(words) == 1 and words[0].startswith("/"):
        return f"{place.node(words[0])} {access}"
    if len(words) == 2 and words[0] in ("b", "c"):
        major, colon, minor = words[1].partition(":")
        if colon and all(number == "*" or number.isdecimal() for number in (major, minor)):
            return f"{words[0]} {words[1]} {access}"
    raise ValueError(f'"{text}" is neither "PATH [rwm]" nor "c|b MAJOR:MINOR [rwm]"')


def _said(rules: Rules) -> str:
    harmless = [name for device, name in HARMLESS.items() if rules.get(device) == "rwm"]
    rest = [f"{device} {access}" for device, access in rules.items() if device not in HARMLESS]
    return ", ".join([" ".join(harmless), *rest])


def _wanted(asked: Iterable[str], place: Place) -> Rules:
    lines = [f"{device} rwm" for device in HARMLESS] + [_rule(text, place) for text in asked]
    return parse("\n".join(lines))


def _changes(limits: Limits, place: Place, change: Callable[[str, Rules], Change]) -> list[Change]:
    """`change`: from how it was asked, for people, and the rules that were meant."""
    if limits.devices is None:
        return []
    asked = ", ".join(("harmless ones", *limits.devices))
    try:
        wanted = _wanted(limits.devices, place)
    except ValueError as error:
        return [refused("devices", asked, str(error))]
    return [change(asked, wanted)]


def v1(limits: Limits, place: Place) -> list[Change]:
    def got(read: Read) -> str:
        text = read(LIST)
        return "all" if text == _ALL else _said(parse(text))

    def change(asked: str, wanted: Rules) -> Change:
        return Change([Limit("devices", asked, got)], _writes(place, wanted), reasons=_REASONS, undo=_undo)

    return _changes(limits, place, change)


def _writes(place: Place, wanted: Rules) -> list[tuple[str, str]]:
    text = place.read(LIST)
    if text == _ALL:
        return [(DENY, "a"), *((ALLOW, line) for line in _less(wanted, {}))]
    held = parse(text)
    follow = [name for name in place.below() if parse(place.read(f"{name}/{LIST}")) == held]
    files = [ALLOW, *(f"{name}/{ALLOW}" for name in follow)]  # what is denied is denied below as well
    allowed = [(file, line) for line in _less(wanted, held) for file in files]
    return allowed + [(DENY, line) for line in _less(held, wanted)]


def _undo(file: str, text: str, before: str) -> tuple[str, str]:
    return (file[: -len(DENY)] + ALLOW, text) if file.endswith(DENY) else (file[: -len(ALLOW)] + DENY, text)


def v2(limits: Limits, place: Place) -> list[Change]:
    def change(asked: str, wanted: Rules) -> Change:
        said = _said(wanted)
        program = [(PROGRAM, "\n".join(_less(wanted, {})))]
        reasons = {errno.EPERM: "version 2 of cgroups does it by a BPF program, which takes root"}
        return Change([Limit("devices", asked, lambda read: said)], program, reasons=reasons, undo=_never)

    return _changes(limits, place, change)


def _never(file: str, text: str, before: str) -> None:
    """The one step there is: where it fails there is nothing to take back."""


FRESH = {LIST: _ALL}

FIGURES: tuple[Figure, ...] = ()
