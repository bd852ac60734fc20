"""The entries of a tar archive, read once from front to back, with an end to everything that an archive can claim.

tarfile decodes the blocks. What follows from one block to the next is read here, because tarfile keeps whatever an
extended header holds, however long, and because its extraction goes through paths.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from enum import Enum, auto
from typing import Protocol

from .image import Budget, Flaw, shown
from .section import CHUNK, Hash, Section

BLOCK = tarfile.BLOCKSIZE
_EXTENDED = 1 << 20  # bytes of one extended header: the kernel's limits for names and attributes stay far below
_PIECES = 1 << 16  # of a sparse file
_NAME = 255  # bytes of one component: the kernel's limit
_LAST_OWNER = (1 << 32) - 2  # chown(2) takes the next one as "leave it"
_TIMES = (-(1 << 31), 1 << 34)  # what ext4 can keep, in seconds
_NUMBER = re.compile(rb"\d{1,19}")
_TIME = re.compile(rb"(-?\d{1,15})(?:\.(\d{1,40}))?")
_RECORD = re.compile(rb"(\d{1,8}) ")
_XATTRS = (b"SCHILY.xattr.", b"LIBARCHIVE.xattr.")


class Type(Enum):
    FILE = auto()
    DIRECTORY = auto()
    SYMLINK = auto()
    HARDLINK = auto()
    DEVICE = auto()
    FIFO = auto()


_TYPES = {
    tarfile.REGTYPE: Type.FILE,
    tarfile.AREGTYPE: Type.FILE,
    tarfile.CONTTYPE: Type.FILE,
    tarfile.GNUTYPE_SPARSE: Type.FILE,
    tarfile.DIRTYPE: Type.DIRECTORY,
    tarfile.SYMTYPE: Type.SYMLINK,
    tarfile.LNKTYPE: Type.HARDLINK,
    tarfile.CHRTYPE: Type.DEVICE,
    tarfile.BLKTYPE: Type.DEVICE,
    tarfile.FIFOTYPE: Type.FIFO,
}


class Spent:
    """How much of a budget is gone."""

    __slots__ = ("budget", "bytes", "entries")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.bytes = 0
        self.entries = 0

    def copy(self) -> Spent:
        other = Spent(self.budget)
        other.entries, other.bytes = self.entries, self.bytes
        return other

    def spend(self, entries: int, size: int) -> None:
        """Raises Flaw where that is more than there is left."""
        self.entries += entries
        self.bytes += size
        if self.entries > self.budget.entries:
            raise Flaw(f"it has more than {self.budget.entries} entries, the most that an image may have")
        if self.bytes > self.budget.bytes:
            raise Flaw(f"its files have more than {self.budget.bytes} bytes, the most that an image may have")


class Source(Protocol):
    """Where an archive's bytes come from."""

    def read(self, count: int) -> bytes:
        """`count` bytes; fewer only at the end."""
        ...

    def skip(self, count: int) -> None:
        """Raises Flaw where there are fewer."""
        ...


class Stream:
    """Pieces that come one after the other; what has come is hashed."""

    __slots__ = ("_at", "_hash", "_piece", "_pieces")

    def __init__(self, pieces: Iterator[bytes], hashed: Hash | None = None) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0
        self._hash = hashed

    def read(self, count: int) -> bytes:
        data = self._piece[self._at : self._at + count]
        self._at += len(data)
        if len(data) == count:
            return data
        parts = [data]
        missing = count - len(data)
        while missing > 0 and (piece := self._next()) is not None:
            parts.append(piece[:missing])
            self._piece, self._at = piece, len(parts[-1])
            missing -= len(parts[-1])
        return b"".join(parts)

    def skip(self, count: int) -> None:
        while count > 0:
            got = len(self.read(min(count, CHUNK)))
            if not got:
                raise Flaw("the archive ends in the middle of an entry: it was cut short")
            count -= got

    def drain(self) -> None:
        """To the end: what follows the archive belongs to what was hashed."""
        while self._next() is not None:
            pass
        self._piece = b""

    def _next(self) -> bytes | None:
        piece = next(self._pieces, None)
        if piece is not None and self._hash is not None:
            self._hash.update(piece)
        return piece


class Cursor:
    """A section, in which skipping costs nothing."""

    __slots__ = ("_section", "position")

    def __init__(self, section: Section) -> None:
        self._section = section
        self.position = 0

    def read(self, count: int) -> bytes:
        data = self._section.read_at(self.position, count)
        self.position += len(data)
        return data

    def skip(self, count: int) -> None:
        if count > self._section.size - self.position:
            raise Flaw("the archive ends in the middle of an entry: it was cut short")
        self.position += count


class Entry:
    """`name`: as the archive has it. `parts`: its components below the root; none for the root itself.
    `mtime`: nanoseconds. `link`: where it leads, as written. `attributes`: names of its extended attributes.
    `size`: bytes, holes counted. `stored`: bytes of it in the archive."""

    __slots__ = (
        "attributes",
        "gid",
        "link",
        "mode",
        "mtime",
        "name",
        "parts",
        "pieces",
        "size",
        "stored",
        "type",
        "uid",
    )

    def __init__(self, name: bytes, type: Type, head: tarfile.TarInfo) -> None:
        self.name = name
        self.parts: tuple[bytes, ...] = ()
        self.type = type
        self.mode = head.mode & 0o7777
        self.uid = head.uid
        self.gid = head.gid
        self.mtime = _seconds(int(head.mtime)) * 10**9
        self.size = self.stored = head.size if type is Type.FILE else 0
        self.link = b""
        self.pieces: list[tuple[int, int]] | None = None
        self.attributes: tuple[str, ...] = ()


def components(name: bytes, budget: Budget) -> tuple[bytes, ...]:
    """The components of a name below the root of the image. A name from the root of the host means the same here.

    Raises Flaw for one that could mean anything else.
    """
    if b"\0" in name:
        raise Flaw("its name has a zero byte, which no name can have")
    if len(name) > budget.path:
        raise Flaw(f"its name has {len(name)} bytes, and more than {budget.path} are not allowed")
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise Flaw("its name has `..` in it, which leads out of where it is; such an archive is not to be trusted")
    if len(parts) > budget.depth:
        raise Flaw(f"it lies {len(parts)} directories deep, and more than {budget.depth} are not allowed")
    if any(len(part) > _NAME for part in parts):
        raise Flaw(f"a component of its name has more than {_NAME} bytes")
    return parts


class Archive:
    """Iterates over the entries. `data` gives those of the one that came last.

    `end_needed`: an archive without its end mark was cut short; where a digest vouches for it, that is no matter.
    """

    def __init__(self, source: Source, spent: Spent, end_needed: bool = False) -> None:
        self._source = source
        self._spent = spent
        self._end_needed = end_needed
        self._for_all: dict[bytes, bytes] = {}
        self._entry: Entry | None = None
        self._unread = 0
        self._padding = 0
        self._count = 0
        self._described = 0
        self._described_all = 0

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        self._source.skip(self._unread + self._padding)
        self._unread = self._padding = 0
        own: dict[bytes, bytes] = {}
        holes: list[tuple[bytes, bytes]] = []
        self._described = 0
        while True:
            block = self._source.read(BLOCK)
            if not block and not self._end_needed:
                raise StopIteration
            if len(block) < BLOCK:
                raise Flaw("the archive ends in the middle: it was cut short")
            if not block.strip(b"\0"):
                raise StopIteration
            self._count += 1
            self._spent.spend(1, 0)
            try:
                head = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise Flaw(f"header {self._count} is not one of a tar archive ({error})") from None
            if head.size < 0:
                raise Flaw(f"header {self._count} has a negative size")
            if head.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                found = self._records(head.size)
                own.update(found)
                holes += [record for record in found if record[0] in _OLD_MAP]
            elif head.type == tarfile.XGLTYPE:
                self._described_all += head.size
                if self._described_all > _EXTENDED:
                    raise Flaw(f"its headers for all entries have more than {_EXTENDED} bytes")
                self._for_all.update(self._records(head.size))
            elif head.type == tarfile.GNUTYPE_LONGNAME:
                own.setdefault(b"path", self._extended(head.size).partition(b"\0")[0])
            elif head.type == tarfile.GNUTYPE_LONGLINK:
                own.setdefault(b"linkpath", self._extended(head.size).partition(b"\0")[0])
            elif head.type == b"V":  # the name of a volume
                self._source.skip(_padded(head.size))
            else:
                return self._finished(block, head, {**self._for_all, **own}, holes)

    def data(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of what the file has, without its holes. To be read once."""
        assert self._entry is not None
        for start, length in self._entry.pieces or [(0, self._unread)]:
            done = 0
            while done < length:
                chunk = self._source.read(min(length - done, CHUNK))
                if not chunk:
                    raise Flaw("the archive ends in the middle of it: it was cut short")
                self._unread -= len(chunk)
                yield start + done, chunk
                done += len(chunk)

    def _extended(self, size: int) -> bytes:
        self._described += size
        if self._described > _EXTENDED:
            raise Flaw(f"header {self._count} describes another one by more than {_EXTENDED} bytes")
        data = self._source.read(_padded(size))
        if len(data) < size:
            raise Flaw("the archive ends in the middle of a header: it was cut short")
        return data[:size]

    def _records(self, size: int) -> list[tuple[bytes, bytes]]:
        """The records of an extended header of POSIX: `LENGTH KEY=VALUE\\n`, LENGTH being that of the whole record."""
        data = self._extended(size)
        records: list[tuple[bytes, bytes]] = []
        position = 0
        while position < len(data):
            length = _RECORD.match(data, position)
            end = position + int(length[1]) if length else 0
            if not length or end <= length.end() or end > len(data) or data[end - 1 : end] != b"\n":
                raise Flaw(f"header {self._count} is an extended one with a broken record")
            key, is_there, value = data[length.end() : end - 1].partition(b"=")
            if not is_there:
                raise Flaw(f"header {self._count} is an extended one with a broken record")
            records.append((key, value))
            position = end
        return records

    def _finished(
        self, block: bytes, head: tarfile.TarInfo, more: dict[bytes, bytes], holes: list[tuple[bytes, bytes]]
    ) -> Entry:
        listed = head.name.encode("utf-8", "surrogateescape")
        if block[257:265] == b"ustar  \0":  # GNU's own format has times where POSIX's has the front of the name
            listed = block[:100].partition(b"\0")[0]
        name = more.get(b"GNU.sparse.name", more.get(b"path", listed))
        type = _TYPES.get(head.type)
        try:
            if type is None:
                raise Flaw(f"it is of a type that is not known here, {shown(head.type)}")
            entry = Entry(name, type, head)
            entry.parts = components(name, self._spent.budget)
            entry.link = more.get(b"linkpath", head.linkname.encode("utf-8", "surrogateescape"))
            entry.uid = _owner(more.get(b"uid"), head.uid)
            entry.gid = _owner(more.get(b"gid"), head.gid)
            if b"mtime" in more:
                entry.mtime = _time(more[b"mtime"])
            entry.attributes = tuple(shown(key.split(b".", 2)[2]) for key in more if key.startswith(_XATTRS))
            if type is Type.FILE:
                self._sized(entry, block, head, more, holes)
        except Flaw as flaw:
            raise Flaw(f"entry {self._count}, {shown(name)}: {flaw}") from None
        self._entry = entry
        return entry

    def _sized(
        self,
        entry: Entry,
        block: bytes,
        head: tarfile.TarInfo,
        more: dict[bytes, bytes],
        holes: list[tuple[bytes, bytes]],
    ) -> None:
        if b"size" in more:
            entry.size = entry.stored = _number(more[b"size"])
        self._unread = entry.stored
        self._padding = _padded(entry.stored) - entry.stored
        if head.type == tarfile.GNUTYPE_SPARSE:
            entry.pieces = self._map_of_blocks(block)
            entry.size = _field(block[483:495])
        elif more.get(b"GNU.sparse.major") == b"1":
            entry.pieces = self._map_in_data()
            entry.size = _number(more.get(b"GNU.sparse.realsize", b""))
        elif b"GNU.sparse.map" in more:
            entry.pieces = _pairs(more[b"GNU.sparse.map"].split(b","))
            entry.size = _number(more.get(b"GNU.sparse.size", b""))
        elif b"GNU.sparse.size" in more:
            entry.pieces = _pairs([value for _, value in holes])
            entry.size = _number(more[b"GNU.sparse.size"])
        if entry.pieces is not None:
            end = 0
            for start, length in entry.pieces:
                if start < end or start + length > entry.size:
                    raise Flaw("it is a sparse file with a broken map")
                end = start + length
            if sum(length for _, length in entry.pieces) != self._unread:
                raise Flaw("it is a sparse file with a broken map")

    def _map_of_blocks(self, block: bytes) -> list[tuple[int, int]]:
        """GNU's first format: four pieces in the header, and 21 in each block that follows."""
        numbers: list[int] = []
        fields, more = block[386:482], block[482]
        while True:
            for at in range(0, len(fields), 24):
                if fields[at : at + 12].strip(b"\0 "):
                    numbers += (_field(fields[at : at + 12]), _field(fields[at + 12 : at + 24]))
            if not more:
                return _paired(numbers)
            if len(numbers) > 2 * _PIECES:
                raise Flaw(f"it is a sparse file of more than {_PIECES} pieces")
            following = self._source.read(BLOCK)
            if len(following) < BLOCK:
                raise Flaw("the archive ends in the middle of it: it was cut short")
            fields, more = following[:504], following[504]

    def _map_in_data(self) -> list[tuple[int, int]]:
        """Format 1.0: lines of decimal numbers in whole blocks before the data; the first says how many pieces."""
        text = b""
        wanted = 1
        while text.count(b"\n") < wanted:
            if self._unread < BLOCK or len(text) > 2 * 21 * _PIECES:
                raise Flaw("it is a sparse file with a broken map")
            text += self._source.read(BLOCK)
            self._unread -= BLOCK
            if wanted == 1 and b"\n" in text:
                count = _number(text.partition(b"\n")[0])
                if count > _PIECES:
                    raise Flaw(f"it is a sparse file of more than {_PIECES} pieces")
                wanted = 1 + 2 * count
        return _pairs(text.split(b"\n")[1:wanted])


_OLD_MAP = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _number(text: bytes) -> int:
    if not _NUMBER.fullmatch(text):
        raise Flaw(f"an extended header has {shown(text) or 'nothing'} where a number should be")
    return int(text)


def _field(text: bytes) -> int:
    """A number of a header: octal digits or, with its first bit set, 11 bytes of it."""
    if text[0] & 0x80:
        return int.from_bytes(text[1:], "big")
    try:
        return int(text.strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise Flaw("it is a sparse file with a broken map") from None


def _pairs(texts: list[bytes]) -> list[tuple[int, int]]:
    return _paired([_number(text) for text in texts])


def _paired(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2 or len(numbers) > 2 * _PIECES:
        raise Flaw("it is a sparse file with a broken map")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _owner(text: bytes | None, listed: int) -> int:
    owner = listed if text is None else _number(text)
    if not 0 <= owner <= _LAST_OWNER:
        raise Flaw(f"it belongs to {owner}, which is no id of a user or a group")
    return owner


def _seconds(time: int) -> int:
    return max(_TIMES[0], min(time, _TIMES[1]))


def _time(text: bytes) -> int:
    found = _TIME.fullmatch(text)
    if not found:
        raise Flaw(f"an extended header has {shown(text) or 'nothing'} where a time should be")
    fraction = int((found[2] or b"0")[:9].ljust(9, b"0"))
    seconds = _seconds(int(found[1]))
    return seconds * 10**9 + (-fraction if text.startswith(b"-") else fraction)
