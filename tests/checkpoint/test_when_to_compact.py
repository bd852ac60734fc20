"""When a journal is written anew: not before it is large, and not again before it has grown to several times that."""

from __future__ import annotations

from pathlib import Path

from fakes import a_process, a_task

from thermos.checkpoint import writing
from thermos.checkpoint.writing import Writer
from thermos.core.records import Compacted, KillRequested
from thermos.core.state import fold_of, initial

RECORD = KillRequested(at=1.0, by="x" * 65536)


def grow(writer: Writer) -> int:
    """Append until it is time to compact; the size at which it is."""
    while not writer.grown:
        writer.append([RECORD])
        assert writer.size < 64 << 20
    return writer.size


def test_a_small_journal_is_left_alone(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "journal"))
    writer.append([RECORD])
    assert not writer.grown
    assert writing.LARGEST < grow(writer) < writing.LARGEST + 70_000
    writer.close()


def test_the_next_writer_goes_by_the_size_it_finds(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    writer = Writer(path)
    grow(writer)
    writer.close()
    writer = Writer(path)
    assert writer.grown
    writer.close()


def test_a_large_fold_is_not_written_again_and_again(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "journal"))
    state = initial(a_task(a_process("p")))
    for size in (0, 1 << 20):
        state.reason = "x" * size
        writer.compact(Compacted(at=1.0, fold=fold_of(state)))
        assert not writer.grown
        folded = writer.size
        assert grow(writer) > max(writing.LARGEST, writing.GROWTH * folded)
    writer.close()
