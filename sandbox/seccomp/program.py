"""From a profile to the BPF program that does what it says.

The numbers of calls are searched by halves: a program is walked through when it is installed, for each number there
is (the kernel notes which calls it lets through whatever their arguments), and at each call it did not note. Eight
comparisons do for what would be a hundred in a row.

A conditional jump reaches 255 instructions, and only forward. So the program is written from its end: where a jump
leads is then known when it is written, and where that is too far an unconditional one, which reaches everything, is
put between. Pure.
"""

from __future__ import annotations

import errno
import struct

from . import UnknownMachine
from .numbers import NUMBERS
from .profile import ERRNO, GE, GT, KILL_PROCESS, LE, LT, MASKED_EQ, MASKED_NE, NE, decided

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .profile import Condition, Profile, Rule

#: <linux/audit.h>: which machine's numbers a call uses.
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

#: Calls of x86_64's other numbering, x32, have this bit. No profile means them: they do not exist.
_X32 = 0x40000000

_LOAD, _AND, _JUMP, _EQUAL, _ABOVE, _AT_LEAST, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06
_INSTRUCTION = struct.Struct("HBBI")
_MOST_INSTRUCTIONS = 4096
_FARTHEST = 255

#: Offsets in struct seccomp_data: number, architecture, after an address six arguments of 64 bits (low half first).
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16


def program(profile: Profile, machine: str) -> bytes:
    """The program of a profile. `machine` as `uname -m` says it: x86_64 or aarch64.

    Calls through another machine's entry (32 bit programs) end the process. Names that only the other machine has are
    passed over. Raises UnknownMachine, KeyError for a name that none has, ValueError where there is too much of it.
    """
    if machine not in NUMBERS:
        raise UnknownMachine(f"there is no table of system calls for {machine!r}, only for {', '.join(NUMBERS)}")
    written = _Program()
    search = written.search(_ranges(profile, machine))
    start = written.load(_NUMBER, search)
    killed = written.answer(KILL_PROCESS)
    written.load(_ARCH, written.jump(_EQUAL, AUDIT_ARCH[machine], start, killed))
    return written.text()


def _ranges(profile: Profile, machine: str) -> list[tuple[int, tuple[Rule, ...] | int, int]]:
    """(first number, its rules or the one action, what is done where no rule holds), until the next one's number."""
    numbers = NUMBERS[machine]
    rules: dict[int, list[Rule]] = {}
    for rule in profile.rules:
        if rule.name in numbers:
            rules.setdefault(numbers[rule.name], []).append(rule)
        elif not any(rule.name in others for others in NUMBERS.values()):
            raise KeyError(rule.name)
    known = set(numbers.values())
    last = max(rules, default=-1) if profile.reaches else max(known)
    ranges: list[tuple[int, tuple[Rule, ...] | int, int]] = []
    for number in range(last + 1):
        action: tuple[Rule, ...] | int = profile.default if number in known else profile.unknown
        if number in rules:
            action = decided(rules[number])
            if not action[0].conditions:
                action = action[0].action
        if not ranges or ranges[-1][1] != action:
            ranges.append((number, action, profile.default))
    if not ranges or ranges[-1][1] != profile.unknown:
        ranges.append((last + 1, profile.unknown, profile.default))
    if profile.unknown != ERRNO | errno.ENOSYS:
        ranges.append((_X32, ERRNO | errno.ENOSYS, profile.default))
    return ranges


class _Program:
    """Instructions, the last one first; a place is the count of those that follow it, itself included."""

    __slots__ = ("_answers", "_near", "_written")

    def __init__(self) -> None:
        self._written: list[tuple[int, int, int, int]] = []
        self._answers: dict[int, int] = {}
        self._near: dict[int, int] = {}  # a place -> the latest jump that leads there

    def text(self) -> bytes:
        if len(self._written) > _MOST_INSTRUCTIONS:
            raise ValueError(f"the filter has {len(self._written)} instructions; Linux takes at most 4096")
        return b"".join(_INSTRUCTION.pack(*each) for each in reversed(self._written))

    def _write(self, code: int, value: int, true: int = 0, false: int = 0) -> int:
        self._written.append((code, true, false, value))
        return len(self._written)

    def answer(self, action: int) -> int:
        if action not in self._answers:
            self._answers[action] = self._write(_RETURN, action)
        return self._answers[action]

    def load(self, offset: int, then: int) -> int:
        """Then goes on at `then`."""
        self._lead_to(then)
        return self._write(_LOAD, offset)

    def mask(self, bits: int, then: int) -> int:
        self._lead_to(then)
        return self._write(_AND, bits)

    def _lead_to(self, place: int) -> None:
        if place != len(self._written):
            self._write(_JUMP, len(self._written) - place)

    def jump(self, code: int, value: int, true: int, false: int) -> int:
        if true == false:
            return true
        # Whichever is brought near last, the other may have moved out of reach by one.
        while True:
            true, false = self._reach(true), self._reach(false)
            here = len(self._written)
            if here - true <= _FARTHEST and here - false <= _FARTHEST:
                return self._write(code, value, here - true, here - false)

    def _reach(self, place: int) -> int:
        here = len(self._written)
        if here - place <= _FARTHEST:
            return place
        near = self._near.get(place, 0)
        if here - near > _FARTHEST:
            near = self._near[place] = self._write(_JUMP, here - place)
        return near

    def search(self, ranges: list[tuple[int, tuple[Rule, ...] | int, int]]) -> int:
        """Where the range of the number is found, and what it says is done."""
        if len(ranges) == 1:
            _, action, otherwise = ranges[0]
            return self.answer(action) if isinstance(action, int) else self.rules(action, otherwise)
        middle = len(ranges) // 2
        above = self.search(ranges[middle:])
        below = self.search(ranges[:middle])
        return self.jump(_AT_LEAST, ranges[middle][0], above, below)

    def rules(self, rules: tuple[Rule, ...], otherwise: int) -> int:
        place = self.answer(otherwise)
        for rule in reversed(rules):
            held = self.answer(rule.action)
            for condition in reversed(rule.conditions):
                held = self.condition(condition, held, place)
            place = held
        return place

    def condition(self, condition: Condition, true: int, false: int) -> int:
        """Halves of 32 bits: the high one decides unless it is equal."""
        low, high = _ARGUMENTS + 8 * condition.argument, _ARGUMENTS + 8 * condition.argument + 4
        if condition.operator in (NE, LT, LE, MASKED_NE):
            true, false = false, true
        value = condition.value >> 32
        if condition.operator in (GT, GE, LT, LE):
            code = _ABOVE if condition.operator in (GT, LE) else _AT_LEAST
            place = self.load(low, self.jump(code, condition.value & 0xFFFFFFFF, true, false))
            place = self.jump(_EQUAL, value, place, false)
            return self.load(high, self.jump(_ABOVE, value, true, place))
        mask = condition.mask if condition.operator in (MASKED_EQ, MASKED_NE) else 2**64 - 1
        place = self._half(low, mask, condition.value, true, false)
        return self._half(high, mask >> 32, value, place, false)

    def _half(self, offset: int, mask: int, value: int, true: int, false: int) -> int:
        mask &= 0xFFFFFFFF
        if not mask:
            return true
        place = self.jump(_EQUAL, value & mask, true, false)
        if mask != 0xFFFFFFFF:
            place = self.mask(mask, place)
        return self.load(offset, place)
