"""What the first process of a sandbox executes: a program that waits, and needs no file of any root.

It is the smallest there can be, kept in memory: it calls itself as its first argument says, which is what
/proc/1/comm shows, and pauses for ever. One page; and what is inside finds no program of the host's in /proc/1/exe.
"""

from __future__ import annotations

import os
import struct

#: Per machine: ELF's number of it, and
#:     prctl(PR_SET_NAME, argv[0]); for (;;) pause();
_CODE = {
    "x86_64": (
        62,
        bytes.fromhex(
            "488b742408"  # mov  rsi, [rsp+8]
            "bf0f000000"  # mov  edi, 15        PR_SET_NAME
            "b89d000000"  # mov  eax, 157       prctl
            "0f05"  # syscall
            "b822000000"  # mov  eax, 34        pause
            "0f05"  # syscall
            "ebf7"  # jmp  the call of pause
        ),
    ),
}

#: Where there is none for this machine.
_OTHERWISE = "/bin/sleep"

_AT = 0x400000
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOADED, _READ_EXECUTE = 1, 5
_MFD_EXEC = 0x10


def program() -> int | str:
    """A descriptor, or a path, to execute. Raises OSError."""
    known = _CODE.get(os.uname().machine)
    if known is None:
        return _OTHERWISE
    try:
        fd = _in_memory()
    except OSError:  # vm.memfd_noexec is 2
        return _OTHERWISE
    os.write(fd, _elf(*known))
    reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(fd)  # nothing that is open for writing can be executed
    return reading


def _in_memory() -> int:
    try:
        return os.memfd_create("pause", os.MFD_CLOEXEC | _MFD_EXEC)
    except OSError:  # before Linux 6.3 every one of them could be executed
        return os.memfd_create("pause", os.MFD_CLOEXEC)


def _elf(machine: int, code: bytes) -> bytes:
    """elf(5): one header, one segment, which is the whole file."""
    begin = _HEADER.size + _SEGMENT.size
    ident = b"\x7fELF\x02\x01\x01"  # 64 bits, low byte first, version 1
    header = _HEADER.pack(
        ident, 2, machine, 1, _AT + begin, _HEADER.size, 0, 0, _HEADER.size, _SEGMENT.size, 1, 0, 0, 0
    )
    size = begin + len(code)
    return header + _SEGMENT.pack(_LOADED, _READ_EXECUTE, 0, _AT, _AT, size, size, 0x1000) + code
