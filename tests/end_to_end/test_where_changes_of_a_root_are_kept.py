"""What a task changes in a root of its own is kept beside it: a file system that cannot is found before it starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_program import Program, process, ran
from small_disk import mounted
from test_sandbox_of_a_task import an_image

pytestmark = pytest.mark.root


@pytest.fixture
def on_an_overlay(program: Program) -> Iterator[Program]:
    """Its root directory is on an overlay, as in a container without volumes; no overlay can keep changes there."""
    program.root.mkdir()
    layers = program.base / "layers"
    layers.mkdir()
    with mounted(layers, "64m"):
        for name in ("lower", "upper", "work"):
            (layers / name).mkdir()
        where = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", where, "overlay", str(program.root)], check=True)
        try:
            yield program
            program.end_all()
        finally:
            subprocess.run(["umount", "-l", str(program.root)], check=True)


@pytest.mark.parametrize("isolation", ["strict", "best-effort"])
def test_a_root_whose_changes_cannot_be_kept_is_refused_with_what_would_help(
    on_an_overlay: Program, isolation: str
) -> None:
    program = on_an_overlay
    asked = {"rootfs": an_image(program.base / "base.tar")}
    started = program.begin([process("true")], "--isolation", isolation, sandbox=asked)
    _, err = started.communicate()
    assert started.returncode == 69
    assert ": cannot enforce sandbox.rootfs: cannot make root: " in err
    assert "choose another --root (in a container: on a volume), or read_only: true\n" in err
    assert not program.directory.exists()
    assert os.listdir(program.root / "new") == []


def test_a_root_that_is_not_changed_needs_no_place_for_changes(on_an_overlay: Program) -> None:
    asked = {"rootfs": an_image(on_an_overlay.base / "base.tar"), "read_only": True}
    assert ran(on_an_overlay, process("cat /etc/own; echo > /etc/own || echo refused"), sandbox=asked) == 0
    assert on_an_overlay.log("p") == "mine\nrefused\n"


def test_a_rehearsal_that_was_killed_is_in_nobodys_way(nobody: Program) -> None:
    """The kernel's own directory in it is one that not even its owner, a plain user, may list."""
    work = nobody.root / "new/killed/rehearsal/work/work"
    work.mkdir(parents=True)
    (nobody.root / "new/killed/rehearsal/upper").mkdir()
    work.chmod(0)
    for directory in (nobody.root, *nobody.root.rglob("*")):
        os.chown(directory, nobody.uid, -1)
    image = an_image(nobody.base / "base.tar")
    Path(image).chmod(0o644)
    assert ran(nobody, process("cat /etc/own"), sandbox={"rootfs": image}) == 0
    assert os.listdir(nobody.root / "new") == []
