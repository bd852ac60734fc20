"""The journal written anew: numbers go on, nobody who follows it misses anything, and it can be killed at any point."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import a_process, a_task
from small_disk import fill, mounted

from thermos.checkpoint import codec, journal, writing
from thermos.checkpoint.writing import Writer
from thermos.core.evolve import evolve
from thermos.core.records import Compacted, Exited, Launched, Record, StageEntered, Started, Supervised
from thermos.core.state import IllegalMove, State, fold_of, initial

TASK = a_task(a_process("once"), a_process("again", daemon=True))


def life(runs: int) -> Iterator[Record]:
    """A task whose daemon has had so many runs."""
    yield Supervised(at=1.0, boot_id="boot", pid=10, epoch=0.5)
    yield StageEntered(at=1.0, stage="ACTIVE", reason="the task was accepted")
    for run in range(runs):
        yield Launched(at=2.0 + run, cause=2, process=1, run=run)
        yield Started(at=2.1 + run, process=1, run=run, pid=11, ticks=run)
        yield Exited(at=2.5 + run, process=1, run=run, source="waited", code=0, cpu=0.25, memory=1 << 20)


def folded(records: Iterator[Record] | list[Record]) -> State:
    state = initial(TASK)
    for record in records:
        evolve(state, record)
    return state


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def written(path: str, runs: int) -> tuple[Writer, State]:
    writer = Writer(path)
    for record in life(runs):
        writer.append([record])
    return writer, folded(life(runs))


def compacted(state: State) -> Compacted:
    return Compacted(at=9.0, fold=fold_of(state))


def test_a_compacted_journal_is_one_record_that_says_the_same(path: str) -> None:
    writer, state = written(path, 100)
    before = os.path.getsize(path)
    writer.compact(compacted(state))
    assert os.path.getsize(path) < before / 4
    (record,) = journal.read(path)
    assert isinstance(record, Compacted)
    assert record.fold.seq == 302
    assert folded([record]) == evolve(state, compacted(state))
    assert not os.path.exists(f"{path}.new")


def test_the_numbers_go_on_after_a_compaction_in_this_writer_and_in_the_next(path: str) -> None:
    writer, state = written(path, 3)
    writer.compact(compacted(state))
    evolve(state, compacted(state))
    more = [Launched(at=20.0, process=1, run=3), Started(at=21.0, process=1, run=3, pid=12, ticks=4)]
    writer.append(more[:1])
    writer.close()
    writer = Writer(path)
    assert writer.seq == state.seq + 1 == 13
    writer.append(more[1:])
    writer.close()
    for record in more:
        evolve(state, record)
    assert folded(journal.read(path)) == state


def test_a_reader_that_has_the_old_file_open_reads_that_to_its_end(path: str) -> None:
    writer, state = written(path, 3)
    reader = journal.Reader(path)
    writer.compact(compacted(state))
    writer.append([Launched(at=20.0, process=1, run=3)])
    assert len(reader.new()) == reader.seq == 11
    assert reader.new() == []
    reader.close()


def test_a_compacted_record_in_the_middle_of_a_journal_is_damage(path: str) -> None:
    writer, state = written(path, 3)
    writer.close()
    with open(path, "ab") as file:
        file.write(codec.encode(40, [compacted(state)]))
    with pytest.raises(journal.Damaged, match="record 12 is missing"):
        list(journal.read(path))


def test_a_fold_of_another_task_does_not_fit() -> None:
    state = folded(list(life(2)))
    with pytest.raises(IllegalMove, match="of 2 processes"):
        evolve(initial(a_task(a_process("only"))), compacted(state))


def test_a_fold_that_is_older_than_the_state_does_not_fit() -> None:
    old = compacted(folded(list(life(2))))
    with pytest.raises(IllegalMove, match="up to record 8"):
        evolve(folded(list(life(3))), old)


def test_the_newest_runs_and_the_totals_survive_a_compaction(path: str) -> None:
    writer, state = written(path, 100)
    writer.compact(compacted(state))
    again = folded(journal.read(path)).processes[1]
    assert (again.launches, again.successes) == (100, 100)
    assert [run.number for run in again.runs] == list(range(84, 100))


#: Everything by which a compaction touches the disk.
CALLS = ("open", "write", "fdatasync", "rename", "fsync", "close", "unlink")


def killed_at(number: int, path: str) -> bool:
    """Compact a journal in a process that is killed before its call of that number. False: it came to its end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = number

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def replacement(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **more)

        return replacement

    try:
        writer = Writer(path)
        state = folded(writer.replayed)
        for name in CALLS:
            setattr(writing.os, name, counted(getattr(os, name)))
        writer.compact(compacted(state))
    finally:
        os._exit(0)


def test_a_compaction_killed_at_any_point_leaves_the_old_journal_or_the_new_one(tmp_path: Path) -> None:
    kills = 0
    while True:
        path = str(tmp_path / f"killed-{kills}")
        writer, state = written(path, 5)
        writer.close()
        killed = killed_at(kills, path)
        found = list(journal.read(path))
        if isinstance(found[0], Compacted):
            evolve(state, compacted(state))
        assert folded(found) == state
        writer = Writer(path)  # the next supervisor's
        assert not os.path.exists(f"{path}.new")
        writer.append([Launched(at=20.0, process=1, run=5)])
        writer.close()
        assert folded(journal.read(path)) == evolve(state, Launched(at=20.0, process=1, run=5))
        if not killed:
            break
        kills += 1
    assert kills >= 7


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    with mounted(directory, "1m"):
        yield directory


@pytest.mark.root
def test_what_was_put_by_can_be_written_on_a_full_disk(small_disk: Path) -> None:
    writer, _ = written(str(small_disk / "journal"), 3)
    writer.put_by()
    ballast = fill(small_disk)
    record = StageEntered(at=2.0, stage="CLEANING", reason="x" * 1000)
    for _ in range(writing.LOW // 1000):
        writer.append([record])
    with pytest.raises(OSError, match="No space left") as raised:
        writer.put_by()
    assert raised.value.errno == errno.ENOSPC
    writer.append([record])  # there is still what was put by before
    ballast.unlink()
    writer.put_by()
    writer.close()


@pytest.mark.root
def test_what_was_put_by_is_not_part_of_the_file(small_disk: Path) -> None:
    path = small_disk / "journal"
    writer, _ = written(str(path), 3)
    before = path.read_bytes()
    writer.put_by()
    assert path.read_bytes() == before
    assert path.stat().st_blocks * 512 >= writing.RESERVE
    writer.close()


@pytest.mark.root
def test_a_compaction_on_a_full_disk_leaves_the_journal_as_it_was(small_disk: Path) -> None:
    path = small_disk / "journal"
    writer, state = written(str(path), 100)
    ballast = fill(small_disk)
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        writer.compact(compacted(state))
    assert path.read_bytes() == before
    assert sorted(p.name for p in small_disk.iterdir()) == ["ballast", "journal"]
    ballast.unlink()
    writer.append([Launched(at=200.0, process=1, run=100)])
    writer.compact(compacted(evolve(state, Launched(at=200.0, process=1, run=100))))
    assert len(list(journal.read(str(path)))) == 1
    writer.close()


def test_a_directory_that_cannot_be_synced_does_not_undo_a_compaction(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, state = written(path, 5)

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(writing.os, "fsync", fails)
    writer.compact(compacted(state))
    evolve(state, compacted(state))
    assert writer.seq == state.seq
    writer.append([Launched(at=20.0, process=1, run=5)])
    assert folded(journal.read(path)) == evolve(state, Launched(at=20.0, process=1, run=5))
    writer.close()


def test_a_directory_that_cannot_be_opened_leaves_the_journal_as_it_was(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, state = written(path, 5)
    real = os.open

    def fails(name: Any, flags: int, *more: Any, **others: Any) -> int:
        if flags & os.O_DIRECTORY:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(name, flags, *more, **others)

    before = Path(path).read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(writing.os, "open", fails)
        with pytest.raises(OSError, match="Too many open files"):
            writer.compact(compacted(state))
    assert (Path(path).read_bytes(), writer.seq) == (before, state.seq)
    writer.close()


def test_a_fold_that_could_not_be_read_again_is_not_written(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, state = written(path, 5)
    before = Path(path).read_bytes()
    monkeypatch.setattr(codec, "LARGEST", 500)
    with pytest.raises(OSError, match="File too large"):
        writer.compact(compacted(state))
    assert (Path(path).read_bytes(), writer.seq) == (before, state.seq)
    assert not os.path.exists(f"{path}.new")
    assert not writer.grown
    writer.close()
