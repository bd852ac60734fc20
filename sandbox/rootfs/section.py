"""A run of bytes of a file: a blob, whether it is a file of its own or lies inside an archive.

Whoever made an image may have put links, FIFOs or devices where its files should be, so a name is walked component
by component without following links, and what is there is looked at before it is opened: opening a FIFO blocks, or
wakes a writer, and opening a device may do anything.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from typing import Protocol

from .image import Flaw, explain, shown

CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")  # the two that the image specification registers


class Hash(Protocol):
    """What this package uses of a hash of hashlib's."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def checked_digest(text: str) -> str:
    """The digest itself. Raises Flaw where it is not one that can be verified."""
    if not _DIGEST.fullmatch(text):
        raise Flaw(f"{shown(text) or 'nothing'} is not a digest of the kinds that can be verified, sha256 and sha512")
    return text


def hash_for(digest: str) -> Hash:
    return hashlib.new(digest.partition(":")[0])


def matched(digest: str, hashed: Hash) -> None:
    """Raises Flaw where what was hashed is not what the digest says."""
    if hashed.hexdigest() != digest.partition(":")[2]:
        raise Flaw(f"its content is not what its digest {digest} says: it was damaged or changed; fetch it again")


class Section:
    """`size` bytes from `start` of an open file, which stays its owner's."""

    __slots__ = ("fd", "size", "start")

    def __init__(self, fd: int, start: int, size: int) -> None:
        self.fd = fd
        self.start = start
        self.size = size

    def read_at(self, offset: int, count: int) -> bytes:
        """At most `count` bytes; fewer only at the end. Raises Flaw where the file is shorter than it was."""
        count = max(0, min(count, self.size - offset))
        data = b""
        while len(data) < count:
            more = os.pread(self.fd, count - len(data), self.start + offset + len(data))
            if not more:
                raise Flaw("the file ends in the middle of it")
            data = data + more if data else more
        return data

    def chunks(self) -> Iterator[bytes]:
        offset = 0
        while offset < self.size:
            chunk = self.read_at(offset, CHUNK)
            offset += len(chunk)
            yield chunk

    def document(self, most: int) -> bytes:
        """All of it, where that is at most `most` bytes."""
        if self.size > most:
            raise Flaw(f"it has {self.size} bytes, and more than {most} are not read")
        return self.read_at(0, self.size)

    def digest(self) -> str:
        hashed = hashlib.sha256()
        for chunk in self.chunks():
            hashed.update(chunk)
        return f"sha256:{hashed.hexdigest()}"

    def verify(self, digest: str, size: int | None = None) -> Section:
        """Itself, if its bytes are those of the digest. Raises Flaw."""
        hashed = hash_for(checked_digest(digest))
        if size is not None and size != self.size:
            raise Flaw(f"it has {self.size} bytes where {size} were promised: it was cut short or changed")
        for chunk in self.chunks():
            hashed.update(chunk)
        matched(digest, hashed)
        return self


class Files(Protocol):
    """The files of an image by name: of a layout's directory, or of an archive."""

    def find(self, name: str) -> Section:
        """Raises Flaw where there is no such regular file."""
        ...


def open_file(path: str) -> int:
    """A regular file that the user has named; links are the user's own. Raises OSError or Flaw."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return _reopen(found)
    finally:
        os.close(found)


def _reopen(found: int) -> int:
    if not stat.S_ISREG(os.fstat(found).st_mode):
        raise Flaw("it is not a regular file")
    return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)


class Folder:
    """The files below a directory, and nothing that a link leads to."""

    def __init__(self, path: str) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: list[int] = []

    def close(self) -> None:
        for fd in (self._root, *self._open):
            os.close(fd)

    def find(self, name: str) -> Section:
        *above, last = name.split("/")
        directory = os.dup(self._root)
        try:
            for step in above:
                inner = os.open(step, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
                os.close(directory)
                directory = inner
            found = os.open(last, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                fd = _reopen(found)
            finally:
                os.close(found)
        except FileNotFoundError:
            raise Flaw(f"there is no file {name}") from None
        except OSError as error:
            link = error.errno in (errno.ELOOP, errno.ENOTDIR)
            raise Flaw(
                f"{name}: {'a link is in the way, and those are not followed' if link else explain(error)}"
            ) from None
        except Flaw as flaw:
            raise Flaw(f"{name}: {flaw}") from None
        finally:
            os.close(directory)
        self._open.append(fd)
        return Section(fd, 0, os.fstat(fd).st_size)
