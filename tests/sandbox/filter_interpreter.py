"""Runs a filter as the kernel does: a second opinion on what a program means."""

from __future__ import annotations

import struct


def run(text: bytes, arch: int, number: int, arguments: tuple[int, ...]) -> int:
    """What the program answers to a call: the part of classic BPF that seccomp_check_filter lets through."""
    data = struct.pack("<iIQ6Q", number, arch, 0xDEAD, *arguments)
    instructions = [struct.unpack_from("<HBBI", text, at) for at in range(0, len(text), 8)]
    accumulator, at = 0, 0
    while True:
        code, true, false, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                accumulator = int.from_bytes(data[value : value + 4], "little")
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += true if accumulator == value else false
            case 0x25:
                at += true if accumulator > value else false
            case 0x35:
                at += true if accumulator >= value else false
            case 0x06:
                return value
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")
