"""The journal's file: what is appended comes back, whatever a crash leaves at its end, and damage is named."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from small_disk import mounted

from thermos.checkpoint import codec, journal
from thermos.checkpoint.journal import Damaged, Reader, WrongVersion
from thermos.checkpoint.writing import Writer
from thermos.core.records import Exited, KillRequested, Launched, Record, Started, Supervised

FRAMES: list[tuple[Record, ...]] = [
    (Supervised(at=1.0, boot_id="boot", pid=10, epoch=0.5),),
    (Launched(at=2.0, cause=1, process=0, run=0), Launched(at=2.0, cause=1, process=1, run=0)),
    (Started(at=2.5, process=0, run=0, pid=11, ticks=12),),
    (Exited(at=3.5, process=0, run=0, source="waited", code=3, cpu=0.25, memory=1 << 20, lingers=True, why="Ünïcode"),),
]
RECORDS = [record for frame in FRAMES for record in frame]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def write(path: str, frames: list[tuple[Record, ...]] = FRAMES) -> None:
    writer = Writer(path)
    for frame in frames:
        writer.append(frame)
    writer.close()


def ends_of_frames(data: bytes) -> list[int]:
    """The offsets at which the header and each frame end."""
    ends = [codec.check_header(data)]
    while ends[-1] < len(data):
        ends.append(codec.decode(data, ends[-1])[1])
    return ends


def test_what_is_appended_is_replayed(path: str) -> None:
    write(path)
    assert list(journal.read(path)) == RECORDS
    writer = Writer(path)
    assert writer.replayed == RECORDS
    assert writer.seq == len(RECORDS)
    writer.close()


def test_a_second_writer_goes_on_where_the_first_one_stopped(path: str) -> None:
    write(path, FRAMES[:2])
    writer = Writer(path)
    for frame in FRAMES[2:]:
        writer.append(frame)
        writer.sync()
    writer.close()
    assert list(journal.read(path)) == RECORDS


def test_cut_at_any_byte_it_replays_the_whole_frames_before_the_cut_and_goes_on(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    write(str(whole))
    data = whole.read_bytes()
    ends = ends_of_frames(data)
    for cut in range(len(data) + 1):
        torn = tmp_path / f"cut at {cut}"
        torn.write_bytes(data[:cut])
        frames = FRAMES[: max(sum(end <= cut for end in ends) - 1, 0)]
        expected = [record for frame in frames for record in frame]
        assert list(journal.read(str(torn))) == expected, cut

        writer = Writer(str(torn))
        assert writer.replayed == expected, cut
        last_end = max((end for end in ends if end <= cut), default=0)
        aside = tmp_path / f"cut at {cut}.torn"
        assert (aside.read_bytes() if aside.exists() else b"") == data[last_end:cut], cut
        news = KillRequested(at=9.0, by="me")
        writer.append([news])
        writer.close()
        assert list(journal.read(str(torn))) == [*expected, news], cut


def test_a_flipped_bit_in_any_frame_is_named_with_path_and_offset_and_nothing_is_changed(path: str) -> None:
    write(path)
    data = Path(path).read_bytes()
    ends = ends_of_frames(data)
    for begin, end in pairwise(ends):
        for place in (begin + 4, begin + 8, end - 1):  # the checksum, and both ends of the payload
            damaged = bytearray(data)
            damaged[place] ^= 1
            Path(path).write_bytes(damaged)
            with pytest.raises(Damaged, match=f"cannot read {path} at offset {begin}: "):
                list(journal.read(path))
            with pytest.raises(Damaged, match=f"offset {begin}"):
                Writer(path)
            assert Path(path).read_bytes() == damaged
            assert not os.path.exists(f"{path}.torn")


def test_an_impossible_length_is_damage(path: str) -> None:
    write(path)
    data = bytearray(Path(path).read_bytes())
    first = codec.check_header(bytes(data))
    data[first + 3] = 0xFF
    Path(path).write_bytes(data)
    with pytest.raises(Damaged, match=f"offset {first}: a frame claims"):
        Writer(path)


def test_a_missing_frame_is_damage(path: str) -> None:
    write(path)
    data = Path(path).read_bytes()
    ends = ends_of_frames(data)
    Path(path).write_bytes(data[: ends[1]] + data[ends[2] :])
    with pytest.raises(Damaged, match=f"offset {ends[1]}: record 2 is missing: a frame begins with 4"):
        list(journal.read(path))


def test_a_record_of_another_program_is_damage(path: str) -> None:
    write(path)
    with open(path, "ab") as file:
        payload = b'{"seq":6,"records":[{"type":"from the future","at":1}]}'
        file.write(struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
    with pytest.raises(Damaged, match="holds something else than records"):
        list(journal.read(path))


def test_zeros_at_the_end_are_a_torn_end(path: str) -> None:
    """A power cut may leave a file longer than what was written to it."""
    for zeros in (1, 7, 8, 9, 4096):
        write(path)
        with open(path, "ab") as file:
            file.write(bytes(zeros))
        writer = Writer(path)
        writer.append([KillRequested(at=9.0, by="me")])
        writer.close()
        assert list(journal.read(path)) == [*RECORDS, KillRequested(at=9.0, by="me")]
        os.unlink(path)


def test_an_empty_file_is_a_journal_without_records(path: str) -> None:
    Path(path).touch()
    assert list(journal.read(path)) == []
    write(path)
    assert list(journal.read(path)) == RECORDS


def test_a_version_to_come_is_refused_and_left_alone(path: str) -> None:
    future = b"thermos journal 2\n" + bytes(range(100))
    Path(path).write_bytes(future)
    with pytest.raises(WrongVersion, match=f"cannot read {path}: it is version 2; this program reads version 1"):
        list(journal.read(path))
    with pytest.raises(WrongVersion):
        Writer(path)
    assert Path(path).read_bytes() == future


def test_another_kind_of_file_is_refused(path: str) -> None:
    Path(path).write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(Damaged, match="does not begin with a journal's header"):
        Writer(path)


def test_a_writer_that_refuses_keeps_no_descriptor(path: str) -> None:
    Path(path).write_bytes(b"something else")
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        with pytest.raises(Damaged):
            Writer(path)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_link_is_not_followed(path: str, tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        Writer(path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1000])
def test_a_reader_follows_a_file_that_grows_in_pieces_of_any_size(path: str, tmp_path: Path, step: int) -> None:
    write(path)
    data = Path(path).read_bytes()
    growing = tmp_path / "growing"
    growing.touch()
    reader = Reader(str(growing))
    records: list[Record] = []
    with growing.open("ab", buffering=0) as file:
        for begin in range(0, len(data), step):
            file.write(data[begin : begin + step])
            records += reader.new()
            assert reader.seq == len(records)
    assert records == RECORDS
    assert reader.new() == []
    reader.close()


def test_a_reader_survives_that_a_torn_end_is_cut_off_and_written_over(path: str) -> None:
    write(path, FRAMES[:2])
    with open(path, "ab") as file:
        file.write(codec.encode(4, FRAMES[2])[:-3])
    reader = Reader(path)
    assert reader.new() == [*FRAMES[0], *FRAMES[1]]
    assert reader.torn
    writer = Writer(path)
    writer.append(FRAMES[3])
    assert reader.new() == [*FRAMES[3]]
    assert reader.torn == b""
    writer.close()
    reader.close()


def test_a_reader_that_met_damage_meets_it_again(path: str) -> None:
    write(path)
    data = bytearray(Path(path).read_bytes())
    data[ends_of_frames(bytes(data))[2] + 10] ^= 1
    Path(path).write_bytes(data)
    reader = Reader(path)
    for _ in range(2):
        with pytest.raises(Damaged, match="offset"):
            reader.new()
    assert (reader.seq, reader.offset) == (0, 0)
    reader.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    with mounted(directory, "16k"):
        yield directory


@pytest.mark.root
def test_a_full_disk_leaves_no_part_of_a_frame_and_the_journal_goes_on_when_there_is_room(small_disk: Path) -> None:
    path = str(small_disk / "journal")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4096))
    writer = Writer(path)
    record = KillRequested(at=1.0, by="x" * 1000)
    appended = 0

    def fill() -> None:
        nonlocal appended
        while True:
            writer.append([record])
            appended += 1

    with pytest.raises(OSError, match="No space left on device") as raised:
        fill()
    assert raised.value.errno == errno.ENOSPC
    assert appended > 3
    assert os.path.getsize(path) == ends_of_frames(Path(path).read_bytes())[-1]
    assert list(journal.read(path)) == [record] * appended
    ballast.unlink()
    writer.append([record])
    writer.close()
    assert list(journal.read(path)) == [record] * (appended + 1)
