"""What the first process of a sandbox executes: a program that waits, and needs no file of any root.

It is the smallest there can be, kept in memory: it calls itself as its first argument says, which is what
/proc/1/comm shows, and pauses for ever. One page; and what is inside finds no program of the host's in /proc/1/exe.
"""

from __future__ import annotations

import os
import struct

from . import syscalls
from .seccomp import install

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn
else:
    import _signal

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

_AT = 0x400000
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOADED, _READ_EXECUTE = 1, 5
_MFD_EXEC = 0x10

#: Per machine: what AUDIT_ARCH calls it, and the calls that the program and its execution take: mmap, munmap, brk,
#: pause, execve, prctl, restart_syscall, execveat.
_CALLS = {"x86_64": (0xC000003E, (9, 11, 12, 34, 59, 157, 219, 322))}

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL, _ALLOW, _NOT_PERMITTED = 0x80000000, 0x7FFF0000, 0x00050001
_INSTRUCTION = struct.Struct("HBBI")


def program() -> int | None:
    """A descriptor to execute. None: there is no program for this machine, or memory cannot be executed; see `stay`.

    A program of the host's would be no substitute: its file, or what links it, is the sandbox's own when it is
    executed. Raises OSError.
    """
    known = _CODE.get(os.uname().machine)
    if known is None:
        return None
    try:
        fd = _in_memory()
    except OSError:  # vm.memfd_noexec is 2
        return None
    os.write(fd, _elf(*known))
    reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(fd)  # nothing that is open for writing can be executed
    return reading


def stay(name: str) -> NoReturn:
    """Do here what the program does. It takes more memory, and what is in it is nobody's to see."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    syscalls.rename(name)
    syscalls.set_dumpable(False)
    while True:
        _signal.pause()


def confine() -> None:
    """Forbid this process all that the program does not need, last thing before it is executed.

    A plain user's processes may write into the memory of this one, which is the same user's (/proc/1/mem): it must not
    be able to do more than they can.
    """
    arch, calls = _CALLS[os.uname().machine]
    text = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    text += [(_EQUAL, len(calls) - at, 0, number) for at, number in enumerate(calls)]
    text += [(_RETURN, 0, 0, _NOT_PERMITTED), (_RETURN, 0, 0, _ALLOW)]
    try:
        install.install(b"".join(_INSTRUCTION.pack(*each) for each in text))
    except OSError:
        pass  # a kernel without filters: nobody in there has one


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
