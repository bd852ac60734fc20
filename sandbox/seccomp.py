"""System calls that a process forbids itself, for good and for all that it starts: a list -> a program -> installed.

The program is classic BPF (seccomp(2), "filter mode"), which the kernel runs before each call. What the list does not
name is allowed, except calls newer than the tables of numbers, and those of another machine's numbering (x32 on
x86_64): they are answered with ENOSYS, as an old kernel would. A call through the 32 bit entry ends the process.
Arguments are looked at as numbers only, never through a pointer: what it leads to could change after the look.

Knows ctypes for one call, prctl(PR_SET_SECCOMP): its argument holds an address.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from .syscall_numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: <linux/audit.h>: which machine's numbers a call uses.
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
_ALLOW = 0x7FFF0000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_INSTRUCTION = struct.Struct("HBBI")
_MOST_INSTRUCTIONS = 4096

#: Offsets in struct seccomp_data: number, architecture, after an address six arguments of 64 bits (low half first).
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16


class Deny:
    """One call that is answered with `error` instead of being made.

    With `argument` (0 to 5) only where that argument has any of `bits` (64 of them), or where its low 32 bits are
    `equals`: of a C `int` the kernel looks at no more, so whatever stands above them must not matter here either.
    """

    __slots__ = ("argument", "bits", "equals", "error", "name")

    def __init__(
        self,
        name: str,
        error: int = errno.EPERM,
        *,
        argument: int = 0,
        bits: int | None = None,
        equals: int | None = None,
    ) -> None:
        self.name = name
        self.error = error
        self.argument = argument
        self.bits = bits
        self.equals = equals


class UnknownMachine(Exception):
    """There are no tables for this machine: nothing can be forbidden."""


def program(denied: Iterable[Deny], machine: str) -> bytes:
    """The filter that denies these, in the order given. `machine` as `uname -m` says it: x86_64 or aarch64.

    Names that only the other machine has are passed over. Raises UnknownMachine, KeyError for a name that none has,
    ValueError where there are too many.
    """
    if machine not in NUMBERS:
        raise UnknownMachine(f"there is no table of system calls for {machine!r}, only for {', '.join(NUMBERS)}")
    numbers = NUMBERS[machine]
    steps = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, _AUDIT_ARCH[machine]), (_RETURN, 0, 0, _KILL_PROCESS)]
    steps += [
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, max(numbers.values()) + 1),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for rule in denied:
        if rule.name in numbers:
            steps += _steps(rule, numbers)
        elif not any(rule.name in others for others in NUMBERS.values()):
            raise KeyError(rule.name)
    steps.append((_RETURN, 0, 0, _ALLOW))
    if len(steps) > _MOST_INSTRUCTIONS:
        raise ValueError(f"the filter has {len(steps)} instructions; Linux takes at most {_MOST_INSTRUCTIONS}")
    return b"".join(_INSTRUCTION.pack(*step) for step in steps)


def _steps(rule: Deny, numbers: Mapping[str, int]) -> list[tuple[int, int, int, int]]:
    """Jumps count the instructions they pass over: where the condition holds, and where it does not."""
    answer = (_RETURN, 0, 0, _ERRNO | rule.error)
    number = numbers[rule.name]
    low = _ARGUMENTS + 8 * rule.argument
    if rule.bits is not None:
        condition = [
            (_LOAD, 0, 0, low),
            (_ANY_BIT, 2, 0, rule.bits & 0xFFFFFFFF),
            (_LOAD, 0, 0, low + 4),
            (_ANY_BIT, 0, 1, rule.bits >> 32),
        ]
    elif rule.equals is not None:
        condition = [(_LOAD, 0, 0, low), (_EQUAL, 0, 1, rule.equals)]
    else:
        return [(_EQUAL, 0, 1, number), answer]
    return [(_EQUAL, 0, len(condition) + 2, number), *condition, answer, (_LOAD, 0, 0, _NUMBER)]


def install(filter_program: bytes) -> None:
    """Have the kernel run a program before each system call of this thread and of all that it starts, until they end.

    `sandbox.syscalls.set_no_new_privs` comes first. Raises OSError, with EINVAL on a kernel without seccomp filters.
    """
    instructions = ctypes.create_string_buffer(filter_program, len(filter_program))
    count = len(filter_program) // _INSTRUCTION.size
    argument = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", count, ctypes.addressof(instructions)))
    libc = ctypes.PyDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, argument, 0, 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl(PR_SET_SECCOMP)")
