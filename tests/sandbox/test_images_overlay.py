"""What is seen when the layers are mounted over each other, by the kernel, against what the specification says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import images
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from images import Layout, Member, file, folder, hardlink, symlink, tar

from sandbox.rootfs import Image, prepare

LOOK = """
import os, subprocess, sys
links, count, options, where = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "none", where], check=True)
for name in ("upper", "work", "merged"):
    os.mkdir(os.path.join(where, name))
os.chdir(links)
lower = ":".join(map(str, range(int(count))))
options += f"lowerdir={lower},upperdir={where}/upper,workdir={where}/work"
subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, os.path.join(where, "merged")], check=True)
os.chdir("/")
sys.path.insert(0, TESTS)
import images
print(images.tree(os.path.join(where, "merged")))
""".replace("TESTS", repr(str(Path(images.__file__).parent)))


def merged(image: Image, where: Path, user: bool = False) -> dict[str, Any]:
    """The mounted image, looked at from the mount namespace that it is mounted in. `user`: in a user namespace."""
    where.mkdir(exist_ok=True)
    options = "userxattr," if user else ""
    argv = [
        "unshare",
        "-mUr" if user else "-m",
        sys.executable,
        "-c",
        LOOK,
        image.links,
        str(len(image.lower)),
        options,
        str(where),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = ast.literal_eval(done.stdout)
    return found


def got(reference: Path, store: Path, holder: str = "task") -> Image:
    image = prepare(str(reference), str(store), holder, alive=lambda holder: False)
    image.close()
    return image


LAYERS = [
    tar(
        folder("./"),
        folder("etc"),
        file("etc/keep", b"keep"),
        file("etc/change", b"old"),
        file("etc/delete", b"old"),
        folder("opaque", mode=0o700),
        file("opaque/old", b"old"),
        folder("opaque/deep"),
        file("opaque/deep/old", b"old"),
        folder("anew"),
        file("anew/old", b"old"),
        folder("becomes-link"),
        file("becomes-link/old", b"old"),
        symlink("becomes-folder", "etc"),
        file("becomes-folder-too", b"old"),
        folder("gone"),
        file("gone/old", b"old"),
        file("shared", b"two names"),
        hardlink("shared-too", "shared"),
    ),
    tar(
        folder("etc", mode=0o750),
        file("etc/change", b"new", mode=0o600),
        file("etc/.wh.delete", b""),
        folder("opaque", mode=0o711),
        file("opaque/new", b"new"),
        file("opaque/.wh..wh..opq", b""),
        file("opaque/.wh.old", b""),
        file(".wh.anew", b""),
        folder("anew"),
        file("anew/new", b"new"),
        symlink("becomes-link", "etc"),
        folder("becomes-folder"),
        file("becomes-folder/new", b"new"),
        folder("becomes-folder-too"),
        file(".wh.gone", b""),
        file(".wh.shared", b""),
    ),
    tar(
        folder("gone"),
        file("gone/again", b"again"),
        folder("opaque"),
        folder("opaque/deep"),
        file("opaque/deep/new", b"x"),
    ),
]

EXPECTED = {
    "etc": ("directory", 0o750),
    "etc/keep": ("file", 0o644, b"keep"),
    "etc/change": ("file", 0o600, b"new"),
    "opaque": ("directory", 0o755),
    "opaque/new": ("file", 0o644, b"new"),
    "opaque/deep": ("directory", 0o755),
    "opaque/deep/new": ("file", 0o644, b"x"),
    "anew": ("directory", 0o755),
    "anew/new": ("file", 0o644, b"new"),
    "becomes-link": ("link", "etc"),
    "becomes-folder": ("directory", 0o755),
    "becomes-folder/new": ("file", 0o644, b"new"),
    "becomes-folder-too": ("directory", 0o755),
    "gone": ("directory", 0o755),
    "gone/again": ("file", 0o644, b"again"),
    "shared-too": ("file", 0o644, b"two names"),
}


@pytest.mark.root
def test_layers_over_each_other_are_what_the_specification_says(tmp_path: Path) -> None:
    image = got(Layout(tmp_path / "layout").image(*LAYERS).path, tmp_path / "store")
    assert (len(image.lower), image.userxattr) == (3, False)
    assert merged(image, tmp_path / "mount") == EXPECTED
    assert merged(image, tmp_path / "mount", user=True) == EXPECTED


@pytest.mark.root
def test_an_opaque_root_hides_all_layers_below(tmp_path: Path) -> None:
    layers = [*LAYERS, tar(file(".wh..wh..opq", b""), file("only", b"this")), tar(file("and", b"that"))]
    image = got(Layout(tmp_path / "layout").image(*layers).path, tmp_path / "store")
    expected = {"only": ("file", 0o644, b"this"), "and": ("file", 0o644, b"that")}
    assert len(image.lower) == 2
    assert merged(image, tmp_path / "mount") == expected


@pytest.mark.root
def test_as_many_layers_as_there_may_be_can_be_mounted(tmp_path: Path) -> None:
    layers = [tar(file(f"file-{number}", b"x")) for number in range(127)]
    image = got(Layout(tmp_path / "layout").image(*layers).path, tmp_path / "store")
    assert len(",".join(image.lower)) > 4096
    assert len(merged(image, tmp_path / "mount")) == 127


@pytest.mark.root
def test_a_layer_that_comes_twice_is_mounted_once(tmp_path: Path) -> None:
    """overlayfs takes no directory twice. Images have the empty layer many times."""
    again = tar(folder("d"), file("d/.wh.gone", b""), file("f", b"again"))
    empty = tar()
    layers = [
        tar(file("d/gone"), file("d/stays")),
        again,
        empty,
        tar(file("d/gone"), file("f", b"between")),
        empty,
        again,
    ]
    image = got(Layout(tmp_path / "layout").image(*layers).path, tmp_path / "store")
    expected = {
        "d": ("directory", 0o755),
        "d/stays": ("file", 0o644, b"x"),
        "f": ("file", 0o644, b"again"),
    }
    assert len(image.lower) == 4
    assert merged(image, tmp_path / "mount") == expected


# ---- any layers

NAMES = ("a", "b", "c")


@st.composite
def stacks(draw: st.DrawFn) -> list[list[tuple[str, ...]]]:
    """Layers as lists of (what, path, ...), each with every directory that it has something in."""

    def level(prefix: str, depth: int) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for name in NAMES:
            path = f"{prefix}{name}"
            kinds = ["nothing", "file", "link", "delete", "delete and file", *(["folder"] * 3 if depth else [])]
            if depth:
                kinds += ["opaque", "delete and folder"]
            kind = draw(st.sampled_from(kinds))
            if "delete" in kind:
                found.append(("delete", path))
            if kind in ("file", "delete and file"):
                found.append(("file", path, draw(st.sampled_from("xyz"))))
            elif kind == "link":
                found.append(("link", path, draw(st.sampled_from(["a", "..", "/etc/passwd"]))))
            elif kind in ("folder", "opaque", "delete and folder"):
                found.append(("folder", path, draw(st.sampled_from(["755", "700", "1777"]))))
                if kind == "opaque":
                    found.append(("opaque", path))
                found += level(f"{path}/", depth - 1)
        return found

    return [level("", 2) for _ in range(draw(st.integers(1, 4)))]


def archive(layer: list[tuple[str, ...]], marks_first: bool) -> bytes:
    entries: list[tuple[bool, Member]] = []
    for kind, path, *more in layer:
        above, _, name = path.rpartition("/")
        mark = f"{above}/.wh.{name}" if above else f".wh.{name}"
        if kind == "delete":
            entries.append((True, file(mark, b"")))
        elif kind == "opaque":
            entries.append((True, file(f"{path}/.wh..wh..opq", b"")))
        elif kind == "file":
            entries.append((False, file(path, more[0].encode())))
        elif kind == "link":
            entries.append((False, symlink(path, more[0])))
        else:
            entries.append((False, folder(path, mode=int(more[0], 8))))
    return tar(*(entry for _, entry in sorted(entries, key=lambda each: each[0] != marks_first)))


def drop(tree: dict[str, Any], path: str, itself: bool) -> None:
    for each in [each for each in tree if each.startswith(f"{path}/") or (itself and each == path)]:
        del tree[each]


def applied(layers: list[list[tuple[str, ...]]]) -> dict[str, Any]:
    """The specification, read aloud: what a layer deletes is of those below; then come its own entries."""
    tree: dict[str, Any] = {}
    for layer in layers:
        for kind, path, *_ in layer:
            if kind in ("delete", "opaque"):
                drop(tree, path, itself=kind == "delete")
        for kind, path, *more in layer:
            if kind == "folder":
                if tree.get(path, ("",))[0] != "directory":
                    drop(tree, path, itself=True)
                tree[path] = ("directory", int(more[0], 8))
            elif kind in ("file", "link"):
                drop(tree, path, itself=True)
                tree[path] = ("file", 0o644, more[0].encode()) if kind == "file" else ("link", more[0])
    return tree


def sensible(layers: list[list[tuple[str, ...]]]) -> list[list[tuple[str, ...]]]:
    """Without the deletion of what is not there, which no builder writes: the kernel lists such a name in a directory
    that is in one layer only, though nothing can be done with it."""
    kept: list[list[tuple[str, ...]]] = []
    for layer in layers:
        below = applied(kept)
        kept.append([each for each in layer if each[0] != "delete" or each[1] in below])
    return kept


@pytest.mark.root
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers=stacks(), marks_first=st.booleans())
def test_any_layers_over_each_other_are_what_the_specification_says(
    layers: list[list[tuple[str, ...]]], marks_first: bool
) -> None:
    layers = sensible(layers)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        layout = Layout(path / "layout").image(*(archive(layer, marks_first) for layer in layers))
        image = got(layout.path, path / "store")
        assert merged(image, path / "mount") == applied(layers)


# ---- as a plain user


@pytest.mark.root
def test_a_plain_user_has_the_same_by_means_of_a_user_namespace(directory: Path) -> None:
    for place in (directory, directory / "mount"):
        place.mkdir(exist_ok=True)
        os.chown(place, 65534, 65534)
    layout = Layout(directory / "layout").image(*LAYERS).path
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            image = got(layout, directory / "store")
            assert image.userxattr
            script = (
                f"mount -t tmpfs none {directory}/mount && cd {directory}/mount && mkdir upper work merged && "
                f"cd {image.links} && mount -t overlay overlay "
                f"-o userxattr,lowerdir=0:1:2,upperdir={directory}/mount/upper,workdir={directory}/mount/work "
                f"{directory}/mount/merged && cd {directory}/mount/merged && "
                f"find . -mindepth 1 -printf '%P %y %m %U %l\\n' > {directory}/seen"
            )
            os.execvp("unshare", ["unshare", "-Urm", "sh", "-c", script])
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    letters = {"directory": "d", "file": "f", "link": "l"}
    expected = {
        f"{name} {letters[each[0]]} {'777' if each[0] == 'link' else format(each[1], 'o')} 0 "
        f"{each[1] if each[0] == 'link' else ''}"
        for name, each in EXPECTED.items()
    }
    assert set((directory / "seen").read_text().splitlines()) == expected


@pytest.mark.root
def test_owners_that_a_user_namespace_has_not_are_noted(directory: Path) -> None:
    (directory / "image.tar").write_bytes(tar(folder("d", uid=7, gid=7), file("f", uid=7, gid=7)))
    code = (
        "import sys; from sandbox.rootfs import prepare\n"
        "image = prepare(sys.argv[1], sys.argv[2], 'task', alive=lambda holder: False)\n"
        "print(image.userxattr, *image.notes)"
    )
    argv = ["unshare", "-Ur", sys.executable, "-c", code, str(directory / "image.tar"), str(directory / "store")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    noted = "belonging to whoever unpacked them, as this user namespace has not their owners: f, d"
    assert done.stdout == f"True {noted}\n", done.stderr
