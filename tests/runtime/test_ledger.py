"""The keeper's ledger: whole lines only, whatever a crash or a full disk has left."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from thermos.runtime.ledger import Ledger, quote, unquote


@pytest.mark.parametrize("text", ["", "%", "a b", "a\nb", "%20", "%25 %", "Zürich", "  ", "\n", "100%\n", "a%0Ab c"])
def test_a_text_is_one_word_and_comes_back(text: str) -> None:
    word = quote(text)
    assert len(f"x {word} y".split(" ")) == 3
    assert len(f"x {word} y".split("\n")) == 1
    assert unquote(word) == text


@pytest.mark.parametrize("text", ["a\tb", "a\rb", "a\x0bb", "a\x1cb", "a\x85b", "a\u2028b", "a\u00a0b", "\t"])
def test_a_text_with_any_white_space_is_one_word_of_a_line(tmp_path: Path, text: str) -> None:
    """An error's text may hold a file's name, and that may hold anything."""
    ledger = Ledger(str(tmp_path / "exits"))
    ledger.append("never", 0, 0, 2, quote(text), quote("after"))
    ((*_, word, after),) = ledger.lines()
    assert (unquote(word), after) == (text, "after")


def test_lines_come_back_as_words(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "exits"))
    ledger.append("boot", "1-2")
    ledger.append("spawned", 0, 1, 42, 7, "web.0")
    assert ledger.lines() == [["boot", "1-2"], ["spawned", "0", "1", "42", "7", "web.0"]]
    assert Ledger(str(tmp_path / "exits")).lines() == ledger.lines()
    assert ledger.size == os.path.getsize(tmp_path / "exits")


def test_a_torn_last_line_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "exits").write_text("boot a\nexited 0 0 9 wai")
    assert Ledger(str(tmp_path / "exits")).lines() == [["boot", "a"]]


def test_what_is_written_after_a_torn_line_is_not_a_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "exits").write_text("boot a\nexited 0 0 9 wai")
    ledger = Ledger(str(tmp_path / "exits"))
    ledger.append("boot", "b")
    assert ledger.lines() == [["boot", "a"], ["boot", "b"]]
    assert Ledger(str(tmp_path / "exits")).lines() == [["boot", "a"], ["boot", "b"]]


def test_a_file_with_nothing_but_a_torn_line_is_empty(tmp_path: Path) -> None:
    (tmp_path / "exits").write_text("bo")
    ledger = Ledger(str(tmp_path / "exits"))
    assert (ledger.lines(), ledger.size) == ([], 0)


def test_bytes_that_are_no_text_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "exits").write_bytes(b"boot a\n\xff\xfe\nboot b\n")
    assert [words[-1] for words in Ledger(str(tmp_path / "exits")).lines()][::2] == ["a", "b"]


def test_rewriting_puts_the_new_lines_in_place_of_the_old(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "exits"))
    for number in range(1000):
        ledger.append("exited", number, 0)
    ledger.rewrite([("boot", "a"), ("spawned", 1, 2)])
    ledger.append("after", 1)
    assert ledger.lines() == [["boot", "a"], ["spawned", "1", "2"], ["after", "1"]]
    assert Ledger(str(tmp_path / "exits")).lines() == ledger.lines()
    assert ledger.size == os.path.getsize(tmp_path / "exits")
    assert [path.name for path in tmp_path.iterdir()] == ["exits"]


def test_a_rewriting_that_was_killed_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "exits.new").write_text("half of a li")
    ledger = Ledger(str(tmp_path / "exits"))
    ledger.append("boot", "a")
    ledger.rewrite([("boot", "a")])
    assert Ledger(str(tmp_path / "exits")).lines() == [["boot", "a"]]


def test_it_is_for_its_owner_alone_and_follows_no_link(tmp_path: Path) -> None:
    Ledger(str(tmp_path / "exits"))
    assert (tmp_path / "exits").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Ledger(str(tmp_path / "link"))
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of two pages."""
    place = tmp_path / "tiny"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # a ledger is never closed


def append_without_end(ledger: Ledger) -> None:
    for number in range(10000):
        ledger.append("exited", number)


@pytest.mark.root
def test_nothing_of_a_line_stays_that_a_full_disk_did_not_take_whole(tiny: Path) -> None:
    ledger = Ledger(str(tiny / "exits"))
    with pytest.raises(OSError, match="No space"):
        append_without_end(ledger)
    lines = ledger.lines()
    assert lines == [["exited", str(number)] for number in range(len(lines))]
    assert ledger.size == os.path.getsize(tiny / "exits")
    with pytest.raises(OSError, match="No space"):
        ledger.rewrite([("x" * 9000,)])
    assert ledger.lines() == lines
    assert [path.name for path in tiny.iterdir()] == ["exits"]
