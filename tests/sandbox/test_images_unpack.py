"""What becomes of the entries of an archive: the honest ones, and those that want to be somewhere else."""

from __future__ import annotations

import os
import re
import resource
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import images
import pytest
from images import END, Member, device, entry, fifo, file, folder, hardlink, header, pax, record, symlink, tar

from sandbox.rootfs import BadImage, Budget, Image, prepare

AS_ROOT = os.geteuid() == 0


def nobody_lives(holder: str) -> bool:
    return False


class Place:
    """A store, and things beside it that must stay as they are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = path / "store"
        self.outside = path / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        (self.outside / "inner").mkdir()

    def tarball(self, data: bytes, **asked: object) -> Image:
        reference = self.path / "image.tar"
        reference.write_bytes(data)
        return self.prepare(f"tarball:{reference}", **asked)

    def layer(self, data: bytes, **asked: object) -> Image:
        reference = self.path / f"layout-{len(list(self.path.iterdir()))}"
        images.Layout(reference).image(data)
        return self.prepare(str(reference), **asked)

    def prepare(self, reference: str, **asked: object) -> Image:
        image = prepare(reference, str(self.store), "task", alive=nobody_lives, **asked)  # type: ignore[arg-type]
        image.close()
        return image

    def refused(self, data: bytes, saying: str, *, layer: bool = False, **asked: object) -> str:
        with pytest.raises(BadImage) as raised:
            (self.layer if layer else self.tarball)(data, **asked)
        said = str(raised.value)
        assert said.startswith("cannot use the image ")
        assert re.search(saying, said), said
        assert said.isprintable()
        self.nothing_stays()
        return said

    def nothing_stays(self) -> None:
        left = [str(each.relative_to(self.store)) for each in images.walk(self.store)] if self.store.exists() else []
        assert [each for each in left if each not in ("fetched", "holders", "layers", "lock", "locks")] == []

    def is_untouched(self) -> None:
        found = images.tree(self.outside)
        assert {name: each[0] for name, each in found.items()} == {"secret": "file", "inner": "directory"}
        assert (self.outside / "secret").read_text() == "secret"
        assert (self.outside / "secret").stat().st_nlink == 1
        assert stat.S_IMODE((self.outside / "secret").stat().st_mode) == 0o644


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def read(image: Image, name: str) -> bytes:
    return (Path(image.lower[0]) / name).read_bytes()


# ---- honest archives


def test_a_tarball_is_there_as_it_was_packed(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "usr/bin").mkdir(parents=True)
    (source / "usr/bin/tool").write_bytes(b"#!/bin/sh\n")
    (source / "usr/bin/tool").chmod(0o750)
    os.link(source / "usr/bin/tool", source / "usr/bin/other")
    (source / "bin").symlink_to("usr/bin")
    (source / "tmp").mkdir()
    (source / "tmp").chmod(0o1777)
    (source / "empty").write_bytes(b"")
    (source / "read-only").mkdir()
    (source / "read-only/file").write_bytes(b"y" * 3_000_000)
    (source / "read-only").chmod(0o555)
    for each in images.walk(source):
        os.utime(each, ns=(0, 1_234_567_890_123_456_789), follow_symlinks=False)
    for format in ("gnu", "posix", "ustar"):
        packed = subprocess.run(["tar", f"--format={format}", "-cC", source, "."], capture_output=True, check=True)
        image = place.tarball(packed.stdout)
        assert images.tree(image.lower[0]) == images.tree(source)
        assert image.notes == ()
        root = Path(image.lower[0])
        assert (root / "usr/bin/tool").stat().st_ino == (root / "usr/bin/other").stat().st_ino
        for each in images.walk(root):
            assert each.lstat().st_mtime_ns // 10**9 == 1_234_567_890


@pytest.mark.parametrize("options", [["--gzip"], ["--xz"], ["--bzip2"], ["--zstd"], []])
def test_what_compressed_it_is_told_by_its_bytes(place: Place, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_bytes(os.urandom(100_000) + bytes(2_000_000))
    packed = subprocess.run(["tar", *options, "-cC", tmp_path / "source", "."], capture_output=True, check=True).stdout
    image = place.tarball(packed)
    assert read(image, "file") == (tmp_path / "source/file").read_bytes()
    (tmp_path / "image.tar").unlink()
    if options:
        with pytest.raises(BadImage, match=r"cut short|broken"):
            place.tarball(packed[: len(packed) // 2])


def test_gzip_of_several_members_and_padding_is_one_archive(place: Place) -> None:
    data = tar(file("a", b"a" * 5000))
    image = place.tarball(images.gz(data[:700]) + images.gz(data[700:]) + bytes(100))
    assert read(image, "a") == b"a" * 5000


@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_files_of_every_kind_have_their_holes(place: Place, tmp_path: Path, version: str) -> None:
    (tmp_path / "source").mkdir()
    with open(tmp_path / "source/sparse", "wb") as sparse:
        for number in range(60):
            sparse.seek(number * 100_000 + 50_000)
            sparse.write(b"%d" % number * 100)
        sparse.truncate(20_000_000)
    options = ["--format=gnu"] if version == "gnu" else ["--format=posix", f"--sparse-version={version}"]
    packed = subprocess.run(
        ["tar", *options, "--sparse", "-cC", tmp_path / "source", "."], capture_output=True, check=True
    ).stdout
    assert len(packed) < 2_000_000
    image = place.tarball(packed)
    assert read(image, "sparse") == (tmp_path / "source/sparse").read_bytes()
    assert (Path(image.lower[0]) / "sparse").stat().st_blocks * 512 < 5_000_000


def test_long_names_and_links_are_whole_in_both_formats(place: Place) -> None:
    name = "/".join(["d" * 200] * 3)
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        image = place.tarball(tar(file(name, b"deep"), symlink("link", name), hardlink("hard", name), format=format))
        assert read(image, name) == read(image, "hard") == b"deep"
        assert os.readlink(os.path.join(image.lower[0], "link")) == name


def test_names_that_are_no_text_are_kept_byte_by_byte_and_shown_escaped(place: Place) -> None:
    names = [b"bad-\xff\xfe", b"line\nbreak", b"bell\x07\x1b[31m", "žluťoučký".encode(), b" ", b"-rf"]
    image = place.tarball(tar(*(file(os.fsdecode(name), name) for name in names), format=tarfile.GNU_FORMAT))
    assert sorted(os.listdir(os.fsencode(image.lower[0]))) == sorted(names)
    place.store.rename(place.path / "aside")
    said = place.refused(tar(hardlink("x", "bell\x07\x1b[31m\n"), format=tarfile.GNU_FORMAT), "no file of that name")
    assert r"bell\x07\x1b[31m\n" in said


def test_of_two_entries_with_one_name_the_last_counts(place: Place) -> None:
    image = place.tarball(tar(file("a", b"first"), file("a", b"second"), symlink("b", "a"), file("b", b"third")))
    assert (read(image, "a"), read(image, "b")) == (b"second", b"third")
    image = place.tarball(tar(folder("d", mode=0o700), file("d/x"), folder("d", mode=0o711), file("e"), folder("e")))
    assert images.tree(image.lower[0]) == {
        "d": ("directory", 0o711),
        "d/x": ("file", 0o644, b"x"),
        "e": ("directory", 0o755),
    }


def test_writing_over_a_hard_link_leaves_the_other_name_as_it_was(place: Place) -> None:
    image = place.tarball(tar(file("a", b"first"), hardlink("b", "a"), file("b", b"second")))
    assert (read(image, "a"), read(image, "b")) == (b"first", b"second")


def test_directories_without_an_entry_are_made_and_noted(place: Place) -> None:
    image = place.tarball(tar(file("a/b/c"), folder("a", mode=0o700)))
    assert images.tree(image.lower[0])["a/b"] == ("directory", 0o755)
    assert images.tree(image.lower[0])["a"] == ("directory", 0o700)
    assert image.notes == ("directories without an entry of their own, so with mode 755: a/b",)


def test_the_root_has_what_its_entry_says_and_else_755(place: Place) -> None:
    assert stat.S_IMODE(os.stat(place.tarball(tar(folder("./", mode=0o711))).lower[0]).st_mode) == 0o711
    assert stat.S_IMODE(os.stat(place.tarball(tar(file("a"))).lower[0]).st_mode) == 0o755
    place.store.joinpath("layers").rename(place.path / "aside")
    with pytest.raises(BadImage, match="it is the root of the image, and no directory"):
        place.tarball(tar(symlink("./", str(place.outside))))


@pytest.mark.root
def test_root_keeps_the_owners_of_the_archive(place: Place) -> None:
    image = place.tarball(
        tar(
            folder("d", uid=5, gid=6), file("f", uid=7, gid=8), symlink("s", "f", uid=9, gid=10), file("big", uid=2**31)
        )
    )
    root = Path(image.lower[0])
    owners = {each.name: (each.lstat().st_uid, each.lstat().st_gid) for each in root.iterdir()}
    assert owners == {"d": (5, 6), "f": (7, 8), "s": (9, 10), "big": (2**31, 0)}


@pytest.mark.parametrize(
    "data",
    [tar(file("f", uid=2**32 - 1)), tar(file("f", gid=2**60)), tar(file("f", uid=-2), format=tarfile.GNU_FORMAT)],
)
def test_owners_that_are_no_ids_are_refused(place: Place, data: bytes) -> None:
    place.refused(data, "which is no id of a user or a group|bad|negative")


# ---- what is left out


def test_devices_and_fifos_are_left_out_and_noted(place: Place) -> None:
    for make in (place.tarball, place.layer):
        image = make(tar(folder("dev"), device("dev/null"), fifo("dev/pipe"), device("white", devmajor=0, devminor=0)))
        assert images.tree(image.lower[0]) == {"dev": ("directory", 0o755)}
        assert image.notes == ("left out, being devices or FIFOs: dev/null, dev/pipe, white",)


def test_set_uid_bits_capabilities_and_attributes_are_dropped_and_noted(place: Place) -> None:
    attributes = {
        "SCHILY.xattr.security.capability": "\1",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    }
    image = place.layer(
        tar(
            file("su", mode=0o4755),
            file("write", mode=0o2755),
            folder("mail", mode=0o2775),
            folder("d", pax_headers=attributes),
        )
    )
    assert images.tree(image.lower[0]) == {
        "su": ("file", 0o755, b"x"),
        "write": ("file", 0o755, b"x"),
        "mail": ("directory", 0o2775),
        "d": ("directory", 0o755),
    }
    assert os.listxattr(os.path.join(image.lower[0], "d")) == []
    assert image.notes == (
        "without the capabilities that the archive gives them: d",
        "without the extended attributes that the archive gives them: d",
        "without their set-uid and set-gid bits: su, write",
    )


def test_notes_are_the_same_when_the_layer_was_unpacked_before(place: Place) -> None:
    data = tar(*(device(f"dev-{number}") for number in range(9)))
    first, second = place.tarball(data), place.tarball(data)
    assert first.lower == second.lower
    assert (
        first.notes
        == second.notes
        == ("left out, being devices or FIFOs: dev-0, dev-1, dev-2, dev-3, dev-4 and 4 more",)
        or "directories" in first.notes[0]
    )


# ---- entries that want to be somewhere else


def escapes(outside: str) -> dict[str, tuple[list[Member], str]]:
    """Archives that write outside where they are unpacked by path, and why each is refused here."""
    up = "../../../../../../../../../../../../.."
    through = "is in its way, which is a link or a file, not a directory"
    return {
        "a name with dots": ([file(f"{up}{outside}/secret", b"gone")], "has `..` in it"),
        "a link out and a file through it": ([symlink("a", outside), file("a/secret", b"gone")], through),
        "a relative link out": ([symlink("a", up + outside), file("a/secret", b"gone")], through),
        "a link to a link": ([symlink("a", outside), symlink("b", "a"), file("b/secret", b"gone")], through),
        "a link in a directory": ([folder("d"), symlink("d/a", outside), file("d/a/x")], through),
        "a directory through a link": ([symlink("a", outside), folder("a/more")], through),
        "a link through a link": ([symlink("a", outside), symlink("a/more", "x")], through),
        "a directory that became a link": ([folder("a"), symlink("a", outside), file("a/x")], through),
        "a hard link through a link": (
            [symlink("a", outside), hardlink("b", "a/secret"), file("c")],
            "a is no directory of the same archive",
        ),
        "a hard link out": ([hardlink("b", f"{up}{outside}/secret")], "has `..` in it"),
    }


ESCAPES = list(escapes(""))


@pytest.mark.parametrize("layer", [False, True])
@pytest.mark.parametrize("which", ESCAPES)
def test_nothing_is_written_outside(place: Place, which: str, layer: bool) -> None:
    entries, why = escapes(str(place.outside))[which]
    place.refused(tar(*entries), why, layer=layer)
    place.is_untouched()


@pytest.mark.parametrize("which", [name for name in ESCAPES if name != "a directory that became a link"])
def test_an_unpacker_that_trusts_them_does_write_outside(place: Place, which: str) -> None:
    entries, _ = escapes(str(place.outside))[which]
    (place.path / "image.tar").write_bytes(tar(*entries))
    (place.path / "naive").mkdir()
    with tarfile.open(place.path / "image.tar") as archive:
        try:
            archive.extraction_filter = lambda member, path: member  # as every release before 3.12 did by default
            archive.extractall(place.path / "naive")
        except OSError:
            pass
    with pytest.raises(AssertionError):
        place.is_untouched()


def test_names_and_links_from_the_root_mean_the_root_of_the_image(place: Place) -> None:
    secret = f"{place.outside}/secret"
    image = place.tarball(tar(file(secret, b"inside"), hardlink("/hard", secret)))
    assert read(image, "hard") == read(image, secret.lstrip("/")) == b"inside"
    place.is_untouched()


def test_a_link_that_leads_out_is_only_a_link(place: Place) -> None:
    image = place.tarball(tar(symlink("a", str(place.outside / "secret")), symlink("a", f"{place.outside}/new")))
    assert os.readlink(os.path.join(image.lower[0], "a")) == f"{place.outside}/new"
    image = place.tarball(tar(symlink("a", str(place.outside / "secret")), file("a", b"mine"), hardlink("b", "a")))
    assert read(image, "b") == b"mine"
    image = place.tarball(tar(symlink("a", str(place.outside / "secret"), mode=0o4777, uid=5), hardlink("b", "a")))
    assert os.path.islink(os.path.join(image.lower[0], "b"))
    place.is_untouched()


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([hardlink("b", "a"), file("a")], "no file of that name comes before it"),
        ([folder("a"), hardlink("b", "a")], "no file of that name comes before it"),
        ([file("a"), hardlink("a", "a")], "a hard link to itself"),
        ([hardlink("b", "/")], "no file of that name comes before it"),
        ([file("a"), hardlink("b", "a/b")], "a is no directory of the same archive"),
        ([symlink("a", "")], "something that no path can be"),
        ([file("a"), file("a/b")], "is in its way"),
        ([folder("a"), file("a/b"), symlink("a", "b")], "a directory with files in it"),
        ([folder("a"), file("a/b"), file("a")], "a directory with files in it"),
        ([entry("a", type=b"Z")], "of a type that is not known here, Z"),
    ],
)
def test_links_to_nothing_and_things_in_the_way_are_refused(place: Place, entries: list[Member], why: str) -> None:
    place.refused(tar(*entries, format=tarfile.GNU_FORMAT), why)


def test_a_hard_link_to_a_mark_is_refused(place: Place) -> None:
    place.refused(tar(file(".wh.a", b""), hardlink("b", "a")), "no file of that name comes before it", layer=True)
    place.refused(tar(file(".wh.a", b""), hardlink("b", ".wh.a")), "no file of that name comes before it", layer=True)


# ---- marks of what is deleted


def test_marks_mean_something_in_layers_only(place: Place) -> None:
    entries = [folder("d"), file("d/.wh.gone", b""), file("d/.wh..wh..opq", b"")]
    alone = place.tarball(tar(*entries))
    assert set(images.tree(alone.lower[0])) == {"d", "d/.wh.gone", "d/.wh..wh..opq"}
    layer = place.layer(tar(folder("d"), file("d/.wh.gone", b"")))
    assert images.tree(layer.lower[0]) == {"d": ("directory", 0o755), "d/gone": ("device", 0)}


def test_a_mark_and_an_entry_of_one_name_hide_what_is_below_and_show_the_entry(place: Place) -> None:
    for entries in (
        [file(".wh.f", b""), file("f", b"new"), file(".wh.d", b""), folder("d"), file("d/x"), file("d/.wh.y", b"")],
        [file("f", b"new"), file(".wh.f", b""), folder("d"), file("d/x"), file("d/.wh.y", b""), file(".wh.d", b"")],
        [file(".wh.f", b""), file("f", b"new"), file(".wh.d", b""), file("d/x"), folder("d")],
    ):
        root = place.layer(tar(*entries)).lower[0]
        assert images.tree(root) == {
            "f": ("file", 0o644, b"new"),
            "d": ("directory", 0o755),
            "d/x": ("file", 0o644, b"x"),
        }
        marks = ["trusted.overlay.opaque"] * AS_ROOT + ["user.overlay.opaque"]
        assert sorted(os.listxattr(os.path.join(root, "d"))) == marks


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh."])
def test_a_mark_of_nothing_is_refused(place: Place, name: str) -> None:
    place.refused(tar(file(name, b"")), "it says that something is deleted, and not what", layer=True)


def test_what_lies_in_a_mark_is_refused_and_aufs_own_marks_mean_nothing(place: Place) -> None:
    place.refused(tar(file(".wh.d/f")), "whose name says that something is deleted", layer=True)
    image = place.layer(tar(file(".wh..wh.plnk", b""), file("a"), file(".wh..wh.aufs", b"")))
    assert set(images.tree(image.lower[0])) == {"a"}


# ---- budgets


def test_an_archive_may_not_have_more_than_its_budget(place: Place) -> None:
    many = tar(*(file(f"f{number}", b"12345") for number in range(20)))
    assert len(images.tree(place.tarball(many, limits=Budget(entries=20, bytes=100)).lower[0])) == 20
    place.store.rename(place.path / "aside")
    place.refused(many, "more than 19 entries", limits=Budget(entries=19))
    place.refused(many, "more than 99 bytes", limits=Budget(bytes=99))
    place.refused(tar(file("a/b/c/d")), "4 directories deep, and more than 3", limits=Budget(depth=3))
    place.refused(tar(file("a" * 101)), "has 101 bytes, and more than 100", limits=Budget(path=100))
    place.refused(tar(symlink("a", "b" * 101)), "something that no path can be", limits=Budget(path=100))
    place.refused(tar(file("a" * 256)), "more than 255 bytes")
    place.refused(tar(file("/".join("a" * 300))), "directories deep")


def test_a_layer_that_is_there_already_counts_too(place: Place) -> None:
    place.tarball(tar(file("f", b"12345")))
    with pytest.raises(BadImage, match="more than 4 bytes"):
        place.tarball(tar(file("f", b"12345")), limits=Budget(bytes=4))


def test_bytes_that_expand_to_far_more_are_refused(place: Place) -> None:
    for pack in (images.gz, images.zstd):
        bomb = pack(tar(file("zeros", bytes(3 << 20))))
        place.refused(bomb, "expand to more than", limits=Budget(ratio=100, ratio_from=1 << 20))
        place.refused(bomb, "expand to more than", layer=False, limits=Budget(ratio=2, ratio_from=0))
    # What follows the end mark expands too.
    place.refused(
        images.gz(tar(file("a")) + bytes(3 << 20)), "expand to more", limits=Budget(ratio=9, ratio_from=1 << 20)
    )


def test_holes_count_as_bytes(place: Place) -> None:
    sparse = pax(b"x", record(b"GNU.sparse.size", b"999999999999999") + record(b"GNU.sparse.map", b"0,0")) + header(
        file("f", b"")
    )
    place.refused(sparse + END, "more than 68719476736 bytes")


def sparse(map: bytes, data: bytes = b"12") -> bytes:
    """An entry of 9 bytes with a map in its extended header."""
    return told(file("f", data), {b"GNU.sparse.size": b"9", b"GNU.sparse.map": map}) + data + bytes(510)


def told(info: Member, more: dict[bytes, bytes]) -> bytes:
    """The headers of an entry, some of it in an extended one."""
    return pax(b"x", b"".join(record(key, value) for key, value in more.items())) + header(info)


EMPTY = file("f", b"")
LONG = b"x" * 600_000


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (pax(b"x", b"x" * (1 << 20) + b"x"), "describes another one by more than 1048576 bytes"),
        (pax(b"x", record(b"comment", LONG)) * 2, "describes another one by more than 1048576 bytes"),
        (pax(b"g", record(b"a", LONG)) + pax(b"g", record(b"b", LONG)), "more than 1048576 bytes"),
        ((pax(b"g", record(b"a", LONG)) + header(EMPTY)) * 2, "for all entries have more than"),
        (pax(b"L", b"n" * (1 << 21)), "describes another one by more than 1048576 bytes"),
        (pax(b"x", b"99999999 a=b\n"), "broken record"),
        (pax(b"x", b"0 a=b\n"), "broken record"),
        (pax(b"x", b"6 a=b\n" + b"3 a"), "broken record"),
        (pax(b"x", b"5 abc"), "broken record"),
        (pax(b"x", b"5 ab\n"), "broken record"),
        (told(EMPTY, {b"path": b"a\0b"}), "zero byte"),
        (told(EMPTY, {b"path": b"a/../../b"}), "has `..` in it"),
        (told(EMPTY, {b"size": b"-5"}), "where a number should be"),
        (told(EMPTY, {b"size": b"9" * 5000}), "where a number should be"),
        (told(EMPTY, {b"uid": b"4294967295"}), "no id of a user"),
        (told(EMPTY, {b"mtime": b"soon"}), "where a time should be"),
        (sparse(b"0,1,0,1"), "broken map"),
        (sparse(b"8,2"), "broken map"),
        (sparse(b"0,2,4"), "broken map"),
        (sparse(b"0,9"), "broken map"),
        (sparse(b"0,x"), "where a number should be"),
        (told(file("f", b"x" * 512), {b"GNU.sparse.major": b"1"}) + b"9999999\n" + bytes(504), "65536 pieces"),
        (told(file("f", b"12"), {b"GNU.sparse.major": b"1"}) + b"12" + bytes(510), "broken map"),
        (header(file("f", b"12")), "cut short"),
        (header(file("f", b"12"))[:300], "cut short"),
        (header(EMPTY), "cut short"),
        (b"", "cut short"),
        (b"hello" * 200, "not one of a tar archive"),
        (header(EMPTY)[:-1] + b"\1", "not one of a tar archive"),
    ],
)
def test_broken_headers_are_refused(place: Place, data: bytes, why: str) -> None:
    place.refused(data if "cut short" in why else data + END, why)


def test_an_archive_cut_anywhere_is_refused_or_whole(place: Place) -> None:
    data = tar(folder("d"), file("d/a" + "x" * 200, b"a" * 700), symlink("s", "d"), format=tarfile.GNU_FORMAT)
    end = len(data.rstrip(b"\0"))
    for size in range(0, end, 97):
        place.refused(data[:size], "cut short")


def test_times_far_away_are_brought_near(place: Place) -> None:
    data = pax(b"x", record(b"mtime", b"999999999999999")) + header(file("far", b""))
    data += pax(b"x", record(b"mtime", b"-99999999999.5")) + header(file("past", b""))
    image = place.tarball(data + END)
    years = {each.name: each.stat().st_mtime for each in Path(image.lower[0]).iterdir()}
    assert years["past"] < 0 < 2**31 < years["far"]


# ---- what it costs


MEASURE = """
import resource, sys
from sandbox.rootfs import Budget, prepare
prepare(sys.argv[1], sys.argv[2], "task", alive=lambda holder: False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("pack", [images.gz, images.zstd, bytes])
def test_a_large_layer_is_never_in_memory(place: Place, pack: Callable[[bytes], bytes]) -> None:
    small, large = place.path / "small", place.path / "large"
    images.Layout(small).image(tar(file("f")), pack=pack)
    images.Layout(large).image(tar(file("zeros", bytes(200 << 20))), pack=pack)
    peaks = []
    for reference in (small, large):
        argv = [sys.executable, "-c", MEASURE, str(reference), str(place.store)]
        peaks.append(int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] - peaks[0] < 16 << 10  # KiB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 200 << 10  # it is a figure that can be so large


def test_descriptors_are_all_closed(place: Place) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    place.layer(tar(file("a/b/c"), file("a/d/e"), hardlink("f", "a/b/c")))
    for data in (
        tar(file("x/y"), hardlink("b", "x/z")),
        tar(symlink("a", "/"), file("a/b")),
        b"",
        images.zstd(b"x" * 9999),
    ):
        with pytest.raises(BadImage):
            place.tarball(data)
    assert sorted(os.listdir("/proc/self/fd")) == before
