"""Opens a file inside a task's sandbox and nowhere else.

A task may plant anything in its sandbox: links to the host's files, a FIFO where its log was, directories swapped
while we look. So the kernel resolves every path, with the sandbox as its root, and what it finds is looked at before
it is opened: opening a FIFO blocks, or wakes a writer, and opening a device may do anything.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from io import FileIO

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10
_CHUNK = 1 << 16

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Refused(Exception):
    """There is no such file, or it is not one to be shown: the message says which."""


def open_inside(sandbox: str, path: str, links: bool = False) -> FileIO:
    """The regular file at `path` below the directory `sandbox`, open for reading.

    `links`: symbolic links are followed, as far as they stay inside; otherwise a path with one is refused.
    Raises Refused.
    """
    resolve = _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS | (0 if links else _RESOLVE_NO_SYMLINKS)
    try:
        root = os.open(sandbox, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"cannot open the sandbox {sandbox}: {error.strerror}") from None
    try:
        found = _openat2(root, path, os.O_PATH | os.O_CLOEXEC, resolve)
    except OSError as error:
        raise Refused(f"cannot open {path} in the sandbox: {_explain(error)}") from None
    finally:
        os.close(root)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise Refused(f"cannot open {path} in the sandbox: it is not a regular file")
        return FileIO(f"/proc/self/fd/{found}")
    except OSError as error:
        raise Refused(f"cannot open {path} in the sandbox: {error.strerror}") from None
    finally:
        os.close(found)


def _explain(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a symbolic link is in the way, and those are not followed"
    if error.errno == errno.ENOSYS:
        return "this kernel has no openat2 (Linux 5.6 has), and without it no path is safe to open"
    return str(error.strerror)


def _openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    how = _OpenHow(flags, 0, resolve)
    code = 0
    for _ in range(16):
        fd = _syscall(_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return int(fd)
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):  # EAGAIN: something was renamed while `..` was resolved
            break
    raise OSError(code, os.strerror(code))


def chunks(file: FileIO, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` to `stop`, piece by piece; fewer where the file was cut meanwhile. Closes `file`."""
    with file:
        while start < stop and (chunk := os.pread(file.fileno(), min(_CHUNK, stop - start), start)):
            start += len(chunk)
            yield chunk


def size_of(file: FileIO) -> int:
    """Bytes."""
    return os.fstat(file.fileno()).st_size


def last_lines(file: FileIO, count: int, most: int) -> int:
    """The offset where the last `count` lines of a file begin, looking back at most `most` bytes.

    A last line without its newline is a line.
    """
    size = position = size_of(file)
    if count <= 0:
        return size
    floor = max(0, size - most)
    while position > floor:
        begin = max(floor, position - _CHUNK)
        data = os.pread(file.fileno(), position - begin, begin)
        end = len(data) - 1 if position == size and data.endswith(b"\n") else len(data)
        while (end := data.rfind(b"\n", 0, end)) >= 0:
            count -= 1
            if count == 0:
                return begin + end + 1
        position = begin
    return floor
