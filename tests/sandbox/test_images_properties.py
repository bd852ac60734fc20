"""Laws: what is packed is what is unpacked, and no archive whatever comes to lie anywhere else."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import images
from hypothesis import given, settings
from hypothesis import strategies as st
from images import Layout, Member, device, fifo, file, folder, hardlink, symlink, tar

from sandbox.rootfs import BadImage, prepare

#: Where nothing waits for a disk: each example is written back once.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

NAMES = st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & set(b"/\0") and name not in (b".", b".."))
MODES = st.sampled_from([0o755, 0o644, 0o600, 0o777, 0o700, 0o1777, 0o444])
FILES = st.tuples(st.just("file"), MODES.map(lambda mode: mode & 0o777), st.binary(max_size=2000))
LINKS = st.tuples(st.just("link"), st.binary(min_size=1, max_size=30).filter(lambda to: b"\0" not in to))
TREES = st.recursive(
    st.dictionaries(NAMES, FILES | LINKS, max_size=4),
    lambda inner: st.dictionaries(NAMES, FILES | LINKS | st.tuples(st.just("folder"), MODES, inner), max_size=4),
    max_leaves=12,
)


def write(directory: bytes, tree: dict[bytes, Any]) -> None:
    for name, (kind, *what) in tree.items():
        path = os.path.join(directory, name)
        if kind == "link":
            os.symlink(what[0], path)
        elif kind == "file":
            with open(path, "wb") as opened:
                opened.write(what[1])
            os.chmod(path, what[0])
        else:
            os.mkdir(path)
            write(path, what[1])
            os.chmod(path, what[0] | 0o500)


@settings(max_examples=60, deadline=None)
@given(tree=TREES, format=st.sampled_from(["gnu", "posix"]))
def test_what_is_packed_is_what_is_unpacked(tree: dict[bytes, Any], format: str) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        path = Path(directory)
        (path / "source").mkdir()
        write(os.fsencode(path / "source"), tree)
        subprocess.run(["tar", f"--format={format}", "-cf", path / "a.tar", "-C", path / "source", "."], check=True)
        image = prepare(f"tarball:{path}/a.tar", str(path / "store"), "task", alive=lambda holder: False)
        image.close()
        assert images.tree(image.lower[0]) == images.tree(path / "source")


#: Few names, so that entries meet; with the ways out among them.
PIECES = st.sampled_from(["a", "b", "c", "..", ".", "", ".wh.a", ".wh.b", ".wh..wh..opq"])
PATHS = st.lists(PIECES, min_size=1, max_size=4).map("/".join)
TARGETS = PATHS | st.sampled_from(
    ["OUTSIDE", "OUTSIDE/inner", "/", "../../../outside", "/proc/self/cwd", "/proc/self/root"]
)


@st.composite
def entries(draw: st.DrawFn) -> list[tuple[str, str, str]]:
    kinds = st.sampled_from(["file", "folder", "symlink", "symlink", "hardlink", "device", "fifo"])
    return draw(st.lists(st.tuples(kinds, PATHS, TARGETS), min_size=1, max_size=12))


def member(kind: str, path: str, target: str) -> Member:
    if kind in ("symlink", "hardlink"):
        return (symlink if kind == "symlink" else hardlink)(path, target)
    if kind == "file":
        return file(path, b"mine", mode=0o4777)
    return {"folder": folder, "device": device, "fifo": fifo}[kind](path)


def everything(path: Path) -> dict[str, tuple[int, ...]]:
    """Of every name: what changes when anything is written, linked or changed there."""
    found = {}
    for each in (path, *path.rglob("*")):
        status = each.lstat()
        found[str(each)] = (
            status.st_ino,
            status.st_mode,
            status.st_nlink,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
    return found


@settings(max_examples=400, deadline=None)
@given(listed=entries(), layer=st.booleans())
def test_no_order_of_links_directories_and_files_leads_outside(listed: list[tuple[str, str, str]], layer: bool) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        path = Path(directory)
        outside = path / "outside"
        (outside / "inner").mkdir(parents=True)
        for name in ("a", "b", "inner/a"):
            (outside / name).write_text("not yours")
        data = tar(*(member(kind, name, target.replace("OUTSIDE", str(outside))) for kind, name, target in listed))
        if layer:
            reference = str(Layout(path / "layout").image(data).path)
        else:
            (path / "image.tar").write_bytes(data)
            reference = f"tarball:{path}/image.tar"
        before = everything(outside)
        beside = sorted(os.listdir(path))
        try:
            image = prepare(reference, str(path / "store"), "task", alive=lambda holder: False)
        except BadImage:
            assert os.listdir(path / "store/layers") == os.listdir(path / "store/holders") == []
        else:
            image.close()
            for each in Path(image.lower[0]).rglob("*"):
                status = each.lstat()
                assert stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK) or (
                    layer and stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
                )
                assert not (stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID))
        assert everything(outside) == before
        assert sorted(set(os.listdir(path)) - {"store"}) == beside


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12), layer=st.booleans())
def test_damaged_bytes_give_an_image_or_a_sentence(seed: int, count: int, layer: bool) -> None:
    """Header checksums are mended, so that what is damaged is not always refused for that."""
    chance = random.Random(seed)
    data = bytearray(
        tar(folder("d"), file("d/" + "n" * 120, b"x" * 600), symlink("s", "t" * 120), hardlink("h", "d/" + "n" * 120))
    )
    for _ in range(count):
        block = chance.randrange(len(data) // 512) * 512
        data[block + chance.choice([*range(512), *range(124, 136), 156])] = chance.choice(
            [0, 0xFF, chance.randrange(256)]
        )
        if data[block + 257 : block + 262] == b"ustar":
            data[block + 148 : block + 156] = b" " * 8
            data[block + 148 : block + 156] = b"%06o\0 " % sum(data[block : block + 512])
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        path = Path(directory)
        (path / "image.tar").write_bytes(data)
        reference = str(Layout(path / "layout").image(bytes(data)).path) if layer else f"tarball:{path}/image.tar"
        said = ""
        try:
            prepare(reference, str(path / "store"), "task", alive=lambda holder: False).close()
        except BadImage as error:
            said = str(error)
        assert said.isprintable()
        assert set(os.listdir(path)) <= {"image.tar", "layout", "store"}
