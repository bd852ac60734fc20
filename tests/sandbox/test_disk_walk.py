"""Counting what a directory holds: as `du` does, and cheaper each time."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_disk import mounted

from sandbox.disk import walk
from sandbox.disk.walk import TooDeep, Tree

MUCH = 1 << 50


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all that is made were made long ago."""
    monkeypatch.setattr(walk, "_HOT", 0)
    monkeypatch.setattr(walk, "_CLOCK", -(10**12))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories that were looked at in full."""
    paths: list[str] = []
    whole = Tree._read

    def look(tree: Tree, path: str) -> walk._Directory | None:
        paths.append(path)
        return whole(tree, path)

    monkeypatch.setattr(Tree, "_read", look)
    return paths


def du(directory: Path) -> int:
    shown = subprocess.run(
        ["du", "-s", "-x", "--block-size=1", str(directory)], capture_output=True, text=True, check=True
    )
    return int(shown.stdout.split()[0])


def counted(tree: Tree) -> int:
    tree.count(MUCH)
    return tree.bytes


def test_it_counts_what_du_counts(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_bytes(bytes(100_000))
    os.link(tmp_path / "a" / "file", tmp_path / "a" / "b" / "second name")
    (tmp_path / "a" / "link").symlink_to("/usr")
    (tmp_path / "a" / "long link").symlink_to("/" + "x" * 500)
    with (tmp_path / "a" / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "line\nbreak \udcff").write_text("x")
    tree = Tree(str(tmp_path))
    assert counted(tree) == du(tmp_path)
    assert tree.files == 8
    assert tree.unread == 0


def test_a_file_that_grows_is_seen_by_the_next_pass_though_its_directory_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")
    tree = Tree(str(tmp_path))
    before = counted(tree)
    tree._directories[""].settled = True
    with (tmp_path / "log").open("ab") as file:
        file.write(bytes(1 << 20))
    assert counted(tree) >= before + (1 << 20)


@pytest.mark.usefixtures("old")
def test_an_old_file_that_grows_is_seen_within_ten_passes(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")
    tree = Tree(str(tmp_path))
    before = counted(tree)
    with (tmp_path / "log").open("ab") as file:
        file.write(bytes(1 << 20))
    assert max(counted(tree) for _ in range(10)) >= before + (1 << 20)


@pytest.mark.usefixtures("old")
def test_it_is_seen_at_once_where_the_file_system_lost_so_much_room(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")
    tree = Tree(str(tmp_path))
    tree.count(1 << 20)
    tree._free += 1 << 40
    tree._directories[""].turn = -1  # it is not looked at for another reason
    with (tmp_path / "log").open("ab") as file:
        file.write(bytes(2 << 20))
    tree.count(1 << 20)
    assert tree.bytes > 2 << 20


@pytest.mark.usefixtures("old")
def test_only_what_has_changed_is_looked_at_and_once_in_ten_passes_the_rest(tmp_path: Path, read: list[str]) -> None:
    for number in range(40):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").touch()
    tree = Tree(str(tmp_path))
    tree.count(MUCH)
    assert len(read) == 41
    read.clear()
    for _ in range(10):
        tree.count(MUCH)
    assert sorted(read) == sorted(["", *map(str, range(40))])
    read.clear()
    (tmp_path / "7" / "new").touch()
    tree.count(MUCH)
    assert "7" in read
    assert len(read) < 41
    assert tree.files == 81


def test_of_very_many_new_files_in_one_directory_none_is_remembered_and_all_are_looked_at(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_MOST_HOT", 10)
    monkeypatch.setattr(walk, "_CLOCK", -(10**12))  # as if the directory had not changed just now
    monkeypatch.setattr(walk, "_TURNS", 1 << 62)  # and nobody's turn would come
    (tmp_path / "many").mkdir()
    for number in range(11):
        (tmp_path / "many" / str(number)).write_bytes(b"x" * 4096)
    tree = Tree(str(tmp_path))
    tree.count(MUCH)
    assert not any(known.hot for known in tree._directories.values())
    read.clear()
    (tmp_path / "many" / "5").write_bytes(b"x" * 40960)
    before = tree.bytes
    tree.count(MUCH)
    assert "many" in read
    assert tree.bytes - before == 36864
    tree.close()


def test_a_directory_that_has_only_just_changed_is_looked_at_again(tmp_path: Path, read: list[str]) -> None:
    """Its change time has a grain: a second change in the same one would not show."""
    tree = Tree(str(tmp_path))
    tree.count(MUCH)
    tree.count(MUCH)
    assert read == ["", ""]


def test_no_link_is_followed_not_even_one_in_the_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "big").write_bytes(bytes(1 << 20))
    box = tmp_path / "box"
    (box / "a").mkdir(parents=True)
    (box / "a" / "b").mkdir()
    (box / "link").symlink_to(tmp_path / "out")
    tree = Tree(str(box))
    assert counted(tree) < 1 << 20
    shutil.rmtree(box / "a")
    (box / "a").symlink_to(tmp_path / "out")
    assert counted(tree) < 1 << 20
    assert tree._read("a") is None
    assert tree._read("a/b") is None


@pytest.mark.root
def test_other_file_systems_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    (tmp_path / "other").mkdir()
    tree = Tree(str(tmp_path))
    before = counted(tree)
    with mounted(tmp_path / "mount", "2M"):
        (tmp_path / "mount" / "big").write_bytes(bytes(1 << 20))
        assert counted(tree) <= before
        assert tree.files == 1  # not even the directory it is mounted on
        (tmp_path / "file").touch()
        subprocess.run(["mount", "--bind", tmp_path / "mount" / "big", tmp_path / "file"], check=True)
        try:
            assert counted(tree) <= before
        finally:
            subprocess.run(["umount", tmp_path / "file"], check=True)


def test_directories_nested_beyond_reason_are_told(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(walk.DEEPEST + 2):
        os.mkdir("d" * 20, dir_fd=fd)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    try:
        with pytest.raises(TooDeep):
            Tree(str(tmp_path)).count(MUCH)
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 20))], check=True)


def test_paths_longer_than_the_kernel_takes_are_counted(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=fd)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with open(os.open("big", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "wb") as file:
        file.write(bytes(1 << 20))
    tree = Tree(str(tmp_path))
    assert counted(tree) == du(tmp_path)
    assert counted(tree) > 1 << 20
    os.close(fd)


def test_a_directory_that_was_removed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    tree = Tree(str(tmp_path / "box"))
    (tmp_path / "box").rmdir()
    with pytest.raises(FileNotFoundError):
        tree.count(MUCH)


@pytest.mark.root
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode | 0o055)
    (tmp_path / "closed").mkdir(mode=0o700)
    program = (
        "import os, sys\nfrom sandbox.disk.walk import Tree\nos.setgid(65534); os.setuid(65534)\n"
        "tree = Tree(sys.argv[1]); tree.count(1 << 40); print(tree.unread)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("seed", range(5))
def test_whatever_was_done_ten_passes_later_it_is_what_du_says(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    box = tmp_path / "box"
    box.mkdir()
    tree = Tree(str(box))

    def some(kind: str) -> Path:
        paths = sorted(path for path in box.rglob("*") if path.is_dir() == (kind == "directory"))
        return chance.choice(paths) if paths else box

    def name() -> str:
        return str(chance.randrange(10**9))

    for _ in range(30):
        for _ in range(8):
            what, where, file = chance.randrange(7), some("directory"), some("file")
            if what == 0:
                (where / name()).mkdir()
            elif what == 1:
                (where / name()).write_bytes(bytes(chance.randrange(100_000)))
            elif what == 2 and file != box:
                with file.open("ab") as grown:
                    grown.write(bytes(chance.randrange(100_000)))
            elif what == 3 and file != box:
                os.link(file, where / name())
            elif what == 4 and file != box:
                file.rename(where / name())
            elif what == 5 and chance.random() < 0.3 and where != box:
                shutil.rmtree(where)
            elif what == 6 and where != box:
                where.rename(box / name())
        tree.count(MUCH)
    for _ in range(10):
        tree.count(MUCH)
    assert tree.bytes == du(box)
    assert tree.files == len(list(box.rglob("*"))) - _more_names(box)


def _more_names(directory: Path) -> int:
    inodes = [path.lstat().st_ino for path in directory.rglob("*") if not path.is_dir()]
    return len(inodes) - len(set(inodes))
