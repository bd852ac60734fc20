"""What is done with which system call: a profile, as plain values. Pure.

Of the rules for one call the first that holds decides; but a rule that holds whatever the arguments are goes before
all that look at them, wherever it stands (so libseccomp has it, and profiles in the wild are written for that).
Where none holds, `Profile.default` is done.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: <linux/seccomp.h>: what the kernel does, in the high half; the low half is its argument.
KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
TRAP = 0x00030000
ERRNO = 0x00050000
TRACE = 0x7FF00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000

#: Operators of a condition, on 64 bits without sign.
EQ, NE, LT, LE, GT, GE, MASKED_EQ, MASKED_NE = range(8)

#: Of a C `int` the kernel looks at 32 bits, so whatever stands above them must not matter to a condition either.
INT = 0xFFFFFFFF


class Condition:
    """One look at one argument (0 to 5). With MASKED_EQ and MASKED_NE, `mask` says which of its bits are looked at;
    bits that `value` has beyond the mask do not count."""

    __slots__ = ("argument", "mask", "operator", "value")

    def __init__(self, argument: int, operator: int, value: int, mask: int = 2**64 - 1) -> None:
        self.argument = argument
        self.operator = operator
        self.value = value
        self.mask = mask


class Rule:
    """`action` for a call where all `conditions` hold."""

    __slots__ = ("action", "conditions", "name")

    def __init__(self, name: str, action: int, conditions: Iterable[Condition] = ()) -> None:
        self.name = name
        self.action = action
        self.conditions = tuple(conditions)


class Profile:
    """`default`: for calls that no rule decides. `unknown`: for numbers that our tables do not have.

    With `reaches` also for those above the highest number that the rules name: an allow list cannot have meant calls
    that came after it, and the C library falls back on older ones when it is told ENOSYS, but not at EPERM (runc does
    so since 1.0.0-rc93). `passed_over`: names in it that no table has. `flags`: SECCOMP_FILTER_FLAG_*.
    """

    __slots__ = ("default", "flags", "passed_over", "reaches", "rules", "unknown")

    def __init__(
        self,
        default: int,
        rules: Iterable[Rule],
        unknown: int = ERRNO | errno.ENOSYS,
        *,
        reaches: bool = False,
        passed_over: tuple[str, ...] = (),
        flags: int = 0,
    ) -> None:
        self.default = default
        self.rules = tuple(rules)
        self.unknown = unknown
        self.reaches = reaches
        self.passed_over = passed_over
        self.flags = flags


def deny(
    name: str, error: int = errno.EPERM, *, argument: int = 0, bits: int | None = None, equals: int | None = None
) -> Rule:
    """The call is answered with `error` instead of being made.

    With `argument` only where that argument has any of `bits` (64 of them), or where it, as a C `int`, is `equals`.
    """
    if bits is not None:
        return Rule(name, ERRNO | error, [Condition(argument, MASKED_NE, 0, bits)])
    if equals is not None:
        return Rule(name, ERRNO | error, [Condition(argument, MASKED_EQ, equals, INT)])
    return Rule(name, ERRNO | error)


def decided(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Of the rules for one call, those that count, in the order in which they are asked."""
    rules = tuple(rules)
    for rule in rules:
        if not rule.conditions:
            return (rule,)
    return rules
