"""Records to bytes and back. Pure.

A journal is a header line and then frames. One frame is one decision: all of its records, or none of them.

    header   thermos journal 1\\n
    frame    <payload length: 4 bytes, little endian> <CRC-32 of payload: 4 bytes> <payload>
    payload  the first record's sequence number and the records: {"seq":1,"records":[{"type":"supervised",...},...]}
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import msgspec

from thermos.core.records import Compacted, Record

VERSION = 1
HEADER = b"thermos journal %d\n" % VERSION
#: No frame is larger; a length beyond it is damage, not data.
LARGEST = 64 << 20

_PREFIX = struct.Struct("<II")


class Frame(msgspec.Struct, gc=False):
    seq: int  # of the first record
    records: tuple[Record, ...]


class Torn(Exception):
    """The bytes end inside a frame: what a crash in the middle of a write leaves."""


class Damaged(Exception):
    """A whole frame is there and is not what was written."""


class WrongVersion(Exception):
    """The header names a version this program does not read."""


_encoder = msgspec.json.Encoder(enc_hook=list)  # for the deques of a fold
_decoder = msgspec.json.Decoder(Frame, dec_hook=lambda kind, value: kind(value))


def encode(seq: int, records: Sequence[Record]) -> bytes:
    """One frame."""
    payload = _encoder.encode(Frame(seq, tuple(records)))
    return _PREFIX.pack(len(payload), zlib.crc32(payload)) + payload


def check_header(data: bytes) -> int:
    """The offset of the first frame. Raises Torn, Damaged or WrongVersion."""
    if data.startswith(HEADER):
        return len(HEADER)
    if HEADER.startswith(data):
        raise Torn("the header is incomplete")
    line = data.split(b"\n", 1)[0]
    if line.startswith(b"thermos journal ") and line[16:].isdigit():
        raise WrongVersion(f"it is version {int(line[16:])}; this program reads version {VERSION}")
    raise Damaged("it does not begin with a journal's header")


def check_follows(frame: Frame, seq: int, first: bool) -> None:
    """Raises Damaged where a frame does not follow record `seq`. A compacted journal's `first` follows any."""
    if not frame.records:
        raise Damaged("a frame is empty")
    compacted = first and isinstance(frame.records[0], Compacted)
    if frame.seq <= seq if compacted else frame.seq != seq + 1:
        raise Damaged(f"record {seq + 1} is missing: a frame begins with {frame.seq}")


def decode(data: bytes | memoryview, offset: int) -> tuple[Frame, int]:
    """The frame at `offset` and the offset after it. Raises Torn or Damaged."""
    begin = offset + _PREFIX.size
    if begin > len(data):
        raise Torn("a frame's prefix is incomplete")
    length, crc = _PREFIX.unpack_from(data, offset)
    if not length and not any(data[offset:]):
        raise Torn("the file's end was never written")  # zeros: what a power cut leaves of a grown file
    if length > LARGEST:
        raise Damaged(f"a frame claims {length} bytes")
    end = begin + length
    if end > len(data):
        raise Torn("a frame is incomplete")
    payload = data[begin:end]
    if zlib.crc32(payload) != crc:
        raise Damaged("a frame's checksum differs")
    try:
        return _decoder.decode(payload), end
    except msgspec.DecodeError as error:
        raise Damaged(f"a frame holds something else than records: {error}") from error
