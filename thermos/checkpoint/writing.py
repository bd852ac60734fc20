"""Writes the journal's file: append to it, repair its end, write it anew when it has grown.

One `write` appends one frame. A killed writer leaves at most one torn frame, at the end: the page cache keeps
everything before it. Only a power cut needs `fdatasync`, and processes do not outlive one: so only what must be known
after it is worth the wait, the task's stages and its processes' ends.

It stays bounded: when it has grown it is replaced, at one stroke, by one whose first record is all of it folded
(`Compacted`), with the numbers going on. And it has space put by beyond its end, so that what runs can still be
followed to its end on a full disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from thermos.core.records import Compacted, Record

from . import codec
from .journal import Reader

#: Bytes put by beyond the journal's end, and how much of that may be used up before more is put by. A run writes
#: about 500.
RESERVE, LOW = 256 << 10, 128 << 10

#: Bytes and inodes without which nothing new is begun: a run needs two directories and two logs.
LEAST_ROOM, LEAST_INODES = 64 << 10, 16

#: Written anew when it is larger than this, and so many times as large as it was when it had just been written.
LARGEST, GROWTH = 1 << 20, 4


class Writer:
    """The one writer of a journal. Whoever makes it must hold the task's lock."""

    def __init__(self, path: str) -> None:
        """Opens the journal, or makes it, and cuts off a torn end after copying it to `<path>.torn`.

        Raises OSError, and Damaged or WrongVersion with the file as it was.
        """
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._reserved = 0  # up to here there is room for sure
        self._rewrite_at = LARGEST
        try:
            self._replay()
        except BaseException:
            os.close(self._fd)
            raise

    def _replay(self) -> None:
        reader = Reader(self._path)
        try:
            self.replayed = reader.new()
        finally:
            reader.close()
        self.seq = reader.seq
        if reader.torn:
            try:
                with open(f"{self._path}.torn", "wb") as aside:
                    aside.write(reader.torn)
            except OSError:
                pass  # a full disk; nobody has acted on a torn frame, and the task waits
            os.ftruncate(self._fd, reader.offset)
        self.size = reader.offset
        if reader.offset == 0:
            self._write(codec.HEADER)
        try:
            os.unlink(f"{self._path}.new")  # of a writer that was killed while it wrote
        except FileNotFoundError:
            pass

    def append(self, records: Sequence[Record]) -> None:
        """One frame of records; when it returns they survive a killed supervisor, and with `sync` a power cut too.

        Raises OSError where there is no space, with nothing of the frame in the file: append it again later.
        """
        self._write(codec.encode(self.seq + 1, records))
        self.seq += len(records)

    def sync(self) -> None:
        """What was appended survives a power cut from here on."""
        os.fdatasync(self._fd)

    def _write(self, data: bytes) -> None:
        done = os.write(self._fd, data)
        if done < len(data):  # the disk is full: a part of a frame must not stay
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        self.size += done

    def lack(self) -> str:
        """What its file system has too little of for more than the end of what there is; empty: nothing."""
        of = os.fstatvfs(self._fd)
        # The blocks kept for root are room for root.
        blocks, inodes = (of.f_bavail, of.f_favail) if os.geteuid() else (of.f_bfree, of.f_ffree)
        if of.f_blocks and blocks * of.f_frsize < LEAST_ROOM:
            return f"less than {LEAST_ROOM >> 10} KiB are free where the journal is"
        if of.f_files and inodes < LEAST_INODES:
            return f"less than {LEAST_INODES} inodes are free where the journal is"
        return ""

    def put_by(self) -> None:
        """Make sure that there is room for what is still to come. Raises OSError where there is none."""
        if self.size + LOW > self._reserved:
            _put_by(self._fd, self.size)
            self._reserved = self.size + RESERVE

    @property
    def grown(self) -> bool:
        """Whether it is time to compact it."""
        return self.size > self._rewrite_at

    def compact(self, record: Compacted) -> None:
        """Put this record in place of all there is. It is on disk for good when this returns.

        Raises OSError, and then the journal is as it was; EFBIG where the record would be too large to be read again.
        """
        data = codec.HEADER + codec.encode(self.seq + 1, (record,))
        self._rewrite_at = 2 * self.size  # where this fails: not before it has grown as much again
        if len(data) > codec.LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), self._path)
        directory = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fresh = self._replace(data)
            os.close(self._fd)
            self._fd = fresh
            self.seq += 1
            self.size = len(data)
            self._reserved = self.size + RESERVE
            self._rewrite_at = max(LARGEST, GROWTH * self.size)
            try:
                os.fsync(directory)
            except OSError:
                pass  # it is in its place, and only a power cut could still undo that
        finally:
            os.close(directory)

    def _replace(self, data: bytes) -> int:
        """A file of these bytes in the journal's place: its descriptor. Raises OSError with nothing changed."""
        fresh = f"{self._path}.new"
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), fresh)
            _put_by(fd, len(data))
            os.fdatasync(fd)
            os.rename(fresh, self._path)
        except OSError:
            os.close(fd)
            os.unlink(fresh)
            raise
        return fd

    def close(self) -> None:
        os.close(self._fd)


def _put_by(fd: int, size: int) -> None:
    from sandbox import syscalls  # ctypes takes some milliseconds, and nothing is put by before the task runs

    syscalls.allocate(fd, size, RESERVE)
