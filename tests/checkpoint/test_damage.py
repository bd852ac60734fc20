"""What looks like a torn end and is not, and frames that nobody writes: all damage, and nothing of it is cut off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes import a_process, a_task

from thermos.checkpoint import codec
from thermos.checkpoint.journal import Damaged, Reader
from thermos.checkpoint.writing import Writer
from thermos.core.records import Compacted, KillRequested, Record
from thermos.core.state import fold_of, initial

RECORD: Record = KillRequested(at=1.0, by="me")


def refused(path: Path, data: bytes) -> str:
    """What reader and writer say of a journal with these bytes after its header."""
    whole = codec.HEADER + data
    path.write_bytes(whole)
    with pytest.raises(Damaged) as of_reader:
        Reader(str(path)).new()
    with pytest.raises(Damaged) as of_writer:
        Writer(str(path))
    assert path.read_bytes() == whole
    assert not os.path.exists(f"{path}.torn")
    assert str(of_reader.value) == str(of_writer.value)
    return str(of_reader.value)


def test_zeros_before_a_frame_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for zeros in (4, 8, 100):
        assert f"at offset {len(codec.HEADER)}: " in refused(path, bytes(zeros) + codec.encode(1, [RECORD]))


def test_a_frame_of_nothing_is_damage(tmp_path: Path) -> None:
    assert "a frame is empty" in refused(tmp_path / "journal", codec.encode(1, []))


def test_a_fold_without_a_number_is_damage(tmp_path: Path) -> None:
    fold = Compacted(at=1.0, fold=fold_of(initial(a_task(a_process("p")))))
    assert "record 1 is missing: a frame begins with 0" in refused(tmp_path / "journal", codec.encode(0, [fold]))


def test_a_longer_header_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"thermos journal of something else\n" + codec.encode(1, [RECORD]))
    with pytest.raises(Damaged, match="does not begin with a journal's header"):
        Reader(str(path)).new()


def test_damage_behind_what_was_read_already_is_told_with_its_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(codec.HEADER + codec.encode(1, [RECORD]))
    reader = Reader(str(path))
    assert reader.new() == [RECORD]
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(codec.encode(2, [RECORD])[:-1] + b"!")
    with pytest.raises(Damaged, match=f"at offset {whole}: "):
        reader.new()
    reader.close()


def test_a_reader_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(codec.HEADER)
    (tmp_path / "journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        Reader(str(tmp_path / "journal"))
