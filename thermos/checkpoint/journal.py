"""The journal's file: append to it, follow it, repair its end.

One `write` appends one frame. A killed writer leaves at most one torn frame, at the end: the page cache keeps
everything before it. Only a power cut needs `fdatasync`; see `Writer.append`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence

from thermos.core.records import Record

from . import codec
from .codec import Damaged, Torn, WrongVersion

__all__ = ["Damaged", "Reader", "Torn", "Writer", "WrongVersion", "read"]


class Reader:
    """Follows a journal from its beginning: each call of `new` gives what was appended since the last one.

    Raises FileNotFoundError, PermissionError, Damaged or WrongVersion. A torn end is not an error here: the rest
    of it may be on its way, or a new writer may cut it off; so it is read again each time, and never kept.
    """

    def __init__(self, path: str, dir_fd: int | None = None) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=dir_fd)
        self.torn = b""  # what followed the last whole frame, when `new` looked last
        self.offset = 0  # bytes of whole frames read so far
        self.seq = 0  # of the last record given out

    def new(self) -> list[Record]:
        """The records appended since the last call, in order. Where it raises, the next call raises the same."""
        chunks: list[bytes] = []
        position = self.offset
        while chunk := os.pread(self._fd, 1 << 20, position):
            chunks.append(chunk)
            position += len(chunk)
        data = b"".join(chunks)
        records: list[Record] = []
        at = 0
        try:
            if self.offset == 0:
                at = codec.check_header(data)
            while True:
                frame, after = codec.decode(data, at)
                expected = self.seq + len(records) + 1
                if frame.seq != expected:
                    raise Damaged(f"record {expected} is missing: a frame begins with {frame.seq}")
                records.extend(frame.records)
                at = after
        except Torn:
            pass
        except Damaged as error:
            raise Damaged(f"cannot read {self._path} at offset {self.offset + at}: {error}") from None
        except WrongVersion as error:
            raise WrongVersion(f"cannot read {self._path}: {error}") from None
        self.torn = data[at:]
        self.offset += at
        self.seq += len(records)
        return records

    def close(self) -> None:
        os.close(self._fd)


def read(path: str) -> Iterator[Record]:
    """Every record of a journal. Raises what Reader raises."""
    reader = Reader(path)
    try:
        yield from reader.new()
    finally:
        reader.close()


class Writer:
    """The one writer of a journal. Whoever makes it must hold the task's lock."""

    def __init__(self, path: str) -> None:
        """Opens the journal, or makes it, and cuts off a torn end after copying it to `<path>.torn`.

        Raises OSError, and Damaged or WrongVersion with the file as it was.
        """
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
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
            with open(f"{self._path}.torn", "ab") as aside:
                aside.write(reader.torn)
            os.ftruncate(self._fd, reader.offset)
        if reader.offset == 0:
            self._write(codec.HEADER)

    def append(self, records: Sequence[Record], durable: bool = False) -> None:
        """One frame of records; when it returns they survive a killed supervisor.

        `durable`: they must survive a power cut too. Processes do not outlive one, so only what must be known
        after it is worth the wait: the task's states and its processes' ends.

        Raises OSError where there is no space, with nothing of the frame in the file: append it again later.
        """
        self._write(codec.encode(self.seq + 1, records))
        self.seq += len(records)
        if durable:
            self.sync()

    def sync(self) -> None:
        """What was appended survives a power cut from here on."""
        os.fdatasync(self._fd)

    def _write(self, data: bytes) -> None:
        done = os.write(self._fd, data)
        if done < len(data):  # the disk is full: a part of a frame must not stay
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def close(self) -> None:
        os.close(self._fd)
