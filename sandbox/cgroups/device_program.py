"""Which device nodes a version 2 group may use: a BPF program of the kernel's, made from rules and attached to it.

There is no file for it. The program looks at each open and each mknod, and it goes when the group goes; those of the
groups above are asked too, and each must allow it. Loading one takes CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_libc = ctypes.PyDLL(None, use_errno=True)

#: The number of bpf(2).
_SYSCALL = {"x86_64": 321}.get(platform.machine(), 280)

_PROG_LOAD, _PROG_ATTACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 13, 16
_PROG_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE = 15, 6
_ALLOW_MULTI, _REPLACE = 2, 4

#: struct bpf_cgroup_dev_ctx of the kernel's linux/bpf.h.
_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}

_INSTRUCTION = struct.Struct("<BBhi")
# Registers as they are used below.
_ANSWER, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR = range(6)


def _instruction(code: int, to: int, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, to | source << 4, offset, number)


def _load(to: int, offset: int) -> bytes:
    return _instruction(0x61, to, _CONTEXT, offset)  # a word of the context


def _unless(register: int, number: int, skip: int) -> bytes:
    return _instruction(0x55, register, offset=skip, number=number)  # jump where it is not equal


_EXIT = _instruction(0x95, 0)


def _answer(number: int) -> bytes:
    return _instruction(0xB7, _ANSWER, number=number) + _EXIT


def program(rules: str) -> bytes:
    """The instructions for lines of `<c or b> <major>:<minor> <access>`; * is any number. What no line allows is not.

    A rule allows what is wanted if that is no more than its letters.
    """
    code = _load(_TYPE, 0) + _instruction(0xBF, _WANTED, _TYPE)  # one word: access << 16 | type
    code += _instruction(0x57, _TYPE, number=0xFFFF) + _instruction(0x77, _WANTED, number=16)
    code += _load(_MAJOR, 4) + _load(_MINOR, 8)
    for line in rules.splitlines():
        code += _rule(*line.split())
    return code + _answer(0)


def _rule(kind: str, numbers: str, access: str) -> bytes:
    allowed = sum(_ACCESS[letter] for letter in set(access))
    major, minor = numbers.split(":")
    tests = [(_TYPE, _TYPES[kind])]
    tests += [(register, int(number)) for register, number in ((_MAJOR, major), (_MINOR, minor)) if number != "*"]
    beyond = _instruction(0xBF, _CONTEXT, _WANTED) + _instruction(0x57, _CONTEXT, number=~allowed & 0x7)
    code = beyond + _unless(_CONTEXT, 0, len(tests) + 2)
    for left, (register, number) in zip(range(len(tests), 0, -1), tests, strict=True):
        code += _unless(register, number, left + 1)
    return code + _answer(1)


def attach(directory: str, rules: str) -> None:
    """Let a group use what the rules allow and nothing else, in place of the rules it had. Raises OSError."""
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    before = loaded = -1
    try:
        ids = _attached(group)
        loaded = _loaded(program(rules))
        if ids:
            before = _bpf(_PROG_GET_FD_BY_ID, struct.pack("<III", ids[0], 0, 0))
        flags = _ALLOW_MULTI | (_REPLACE if ids else 0)
        _bpf(_PROG_ATTACH, struct.pack("<IIIII", group, loaded, _CGROUP_DEVICE, flags, max(before, 0)))
    finally:
        for fd in (group, before, loaded):
            if fd >= 0:
                os.close(fd)


def attached(directory: str) -> int:
    """How many programs a group itself has. Raises OSError."""
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return len(_attached(group))
    finally:
        os.close(group)


def _attached(group: int) -> list[int]:
    """The ids of the programs a group itself has."""
    ids = (ctypes.c_uint32 * 64)()
    query = ctypes.create_string_buffer(
        struct.pack("<IIIIQI4x", group, _CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), 64)
    )
    _bpf(_PROG_QUERY, query)
    return list(ids[: struct.unpack_from("<I", query, 24)[0]])


def _loaded(code: bytes) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    license = ctypes.create_string_buffer(b"Apache-2.0")
    count = len(code) // _INSTRUCTION.size
    attributes = struct.pack(
        "<IIQQ", _PROG_TYPE_CGROUP_DEVICE, count, ctypes.addressof(instructions), ctypes.addressof(license)
    )
    return _bpf(_PROG_LOAD, attributes.ljust(48, b"\0"))


def _bpf(command: int, attributes: bytes | ctypes.Array[ctypes.c_char]) -> int:
    if isinstance(attributes, bytes):
        attributes = ctypes.create_string_buffer(attributes, len(attributes))
    result = int(_libc.syscall(_SYSCALL, command, attributes, len(attributes)))
    if result < 0:
        number = ctypes.get_errno()
        if number == errno.EACCES:  # the verifier's word; nobody but us writes the program
            number = errno.EPERM
        raise OSError(number, os.strerror(number), "bpf")
    return result
