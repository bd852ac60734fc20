"""From the bytes of a blob to those of the archive in it.

What compressed it is told by its first bytes, as every engine does: media types are often wrong about it. No more than
a piece is held at a time, whatever a few bytes of input expand to, and there is an end to what a blob may expand to.
"""

from __future__ import annotations

import bz2
import lzma
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

from .image import Budget, Flaw
from .section import CHUNK, Hash, Section

_XZ_MEMORY = 256 << 20  # bytes: what `xz -9` needs is a quarter of it


class _Unpacking(Protocol):
    """What bz2's and lzma's decompressors have in common."""

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def _gzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    unpacking = zlib.decompressobj(31)
    for chunk in chunks:
        while chunk:
            if unpacking.eof:
                chunk = chunk.lstrip(b"\0")  # between members, or at the end, some writers pad
                if not chunk:
                    break
                unpacking = zlib.decompressobj(31)
            try:
                yield unpacking.decompress(chunk, CHUNK)
            except zlib.error:
                raise Flaw("its gzip data is broken") from None
            chunk = unpacking.unconsumed_tail or unpacking.unused_data
    if not unpacking.eof:
        raise Flaw("its gzip data ends in the middle: it was cut short")


def _staged(name: str, make: Callable[[], _Unpacking]) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    def unpack(chunks: Iterator[bytes]) -> Iterator[bytes]:
        unpacking = make()
        for chunk in chunks:
            while chunk or not (unpacking.eof or unpacking.needs_input):
                if unpacking.eof:
                    chunk = chunk.lstrip(b"\0")
                    if not chunk:
                        break
                    unpacking = make()
                try:
                    yield unpacking.decompress(chunk, CHUNK)
                except (OSError, EOFError, lzma.LZMAError):
                    raise Flaw(f"its {name} data is broken, or wants too much memory") from None
                chunk = unpacking.unused_data if unpacking.eof else b""
        if not unpacking.eof:
            raise Flaw(f"its {name} data ends in the middle: it was cut short")

    return unpack


def _zstd(chunks: Iterator[bytes], directory: str) -> Iterator[bytes]:
    """By the program: Python has a module of its own only since 3.14. It reads a private copy, which nobody changes."""
    program = shutil.which("zstd")
    if program is None:
        raise Flaw("it is compressed by zstd, and there is no program `zstd` here: install it")
    with tempfile.TemporaryFile(dir=directory) as copy, tempfile.TemporaryFile(dir=directory) as said:
        for chunk in chunks:
            copy.write(chunk)
        copy.seek(0)
        with subprocess.Popen([program, "-dcq"], stdin=copy, stdout=subprocess.PIPE, stderr=said, env={}) as process:
            assert process.stdout is not None
            try:
                while piece := process.stdout.read(CHUNK):
                    yield piece
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise Flaw("its zstd data is broken or was cut short")


def _plain(chunks: Iterator[bytes]) -> Iterator[bytes]:
    return chunks


def _bz2() -> _Unpacking:
    return bz2.BZ2Decompressor()


def _xz() -> _Unpacking:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


_ZSTD = b"\x28\xb5\x2f\xfd"
_BY_MAGIC: dict[bytes, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    b"\x1f\x8b": _gzip,
    b"BZh": _staged("bzip2", _bz2),
    b"\xfd7zXZ\0": _staged("xz", _xz),
}


def compressed(section: Section) -> bool:
    return section.read_at(0, 6).startswith((_ZSTD, *_BY_MAGIC))


def expanded(
    section: Section, budget: Budget, directory: str, blob: Hash | None = None
) -> Generator[bytes, None, None]:
    """The uncompressed bytes. `directory`: where a copy may lie meanwhile. `blob`: is fed the compressed ones.

    To be closed by whoever does not read it to its end. Raises Flaw.
    """
    chunks = section.chunks() if blob is None else _hashed(section.chunks(), blob)
    magic = section.read_at(0, 6)
    if magic.startswith(_ZSTD):
        pieces = _zstd(chunks, directory)
    else:
        pieces = next((unpack for known, unpack in _BY_MAGIC.items() if magic.startswith(known)), _plain)(chunks)
    most = max(budget.ratio_from, budget.ratio * section.size)
    produced = 0
    try:
        for piece in pieces:
            produced += len(piece)
            if produced > most:
                raise Flaw(
                    f"its {section.size} bytes expand to more than {most}: more than {budget.ratio} for each, "
                    "as only an archive made to fill a disk does"
                )
            yield piece
    finally:
        if isinstance(pieces, Generator):
            pieces.close()


def _hashed(chunks: Iterator[bytes], hashed: Hash) -> Iterator[bytes]:
    for chunk in chunks:
        hashed.update(chunk)
        yield chunk
