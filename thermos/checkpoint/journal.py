"""Reads the journal's file, once or as it grows; `writing` writes it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from thermos.core.records import Record

from . import codec
from .codec import Damaged, Torn, WrongVersion

__all__ = ["Damaged", "Reader", "Torn", "WrongVersion", "read"]

#: Bytes read at a time: a long journal need not be in memory as a whole.
_PIECE = 256 << 10


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
        records: list[Record] = []
        while some := self.some():
            records += some
        return records

    def some(self) -> list[Record]:
        """The next of them, as many as a piece of the file holds; none at its end."""
        size = _PIECE
        while True:
            data = os.pread(self._fd, size, self.offset)
            records = self._decode(data)
            if records or len(data) < size:
                return records
            size *= 2  # a frame may be larger than a piece, and torn is only what ends with the file

    def _decode(self, data: bytes) -> list[Record]:
        records: list[Record] = []
        at = 0
        try:
            if self.offset == 0:
                at = codec.check_header(data)
            while True:
                frame, after = codec.decode(data, at)
                seq = self.seq + len(records)
                if frame.seq != seq + 1 or not frame.records:
                    codec.check_follows(frame, seq, first=self.offset + at == len(codec.HEADER))
                    self.seq = frame.seq - 1  # it is compacted, and stands for all before it
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
        while some := reader.some():
            yield from some
    finally:
        reader.close()
