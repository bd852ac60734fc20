"""What counts as left behind by a sandbox, in the rows of scripts/bench that look for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"

#: Says what is left of a directory and a word, once, without waiting that it goes.
LOOK = """
import sys
from pathlib import Path
from benchmarks import leftovers
leftovers._PATIENCE = 0
host = leftovers.Host(Path(sys.argv[1]), sys.argv[2])
for each in host.left():
    print(each)
"""


def left(directory: Path, word: str) -> list[str]:
    done = subprocess.run(
        # The directory is in its own command line too.
        [sys.executable, "-c", LOOK, str(directory), word],
        env={**os.environ, "PYTHONPATH": f"{SCRIPTS}:{SCRIPTS.parent}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


@contextmanager
def running(*argv: str) -> Generator[int]:
    """A program that has said that it is at work."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        try:
            yield program.pid
        finally:
            program.kill()


@pytest.fixture
def word() -> str:
    return f"looked-for-{os.getpid()}"


def test_nothing_is_left_where_nothing_was(tmp_path: Path, word: str) -> None:
    assert left(tmp_path, word) == []


def test_a_process_that_works_for_the_directory_is_left(tmp_path: Path, word: str) -> None:
    with running("/bin/bash", "-c", "echo; read", str(tmp_path)) as pid:
        assert [line.split(":")[0] for line in left(tmp_path, word)] == [f"process {pid}"]


@pytest.mark.root
def test_a_mount_in_a_namespace_is_left(tmp_path: Path, word: str) -> None:
    command = 'mount --bind "$0" "$0" && cd / && exec env - bash -c "echo; read"'
    with running("unshare", "--mount", "bash", "-c", command, str(tmp_path)) as pid:
        (found,) = left(tmp_path, word)
    assert found.startswith("mount in mnt:")
    assert f"process {pid}" in found


@pytest.mark.root
def test_a_group_is_left(tmp_path: Path, word: str) -> None:
    tree = next(tree for tree in Path("/sys/fs/cgroup").rglob("cgroup.procs") if os.access(tree, os.W_OK)).parent
    group = tree / f"{word}-3"
    group.mkdir()
    try:
        assert left(tmp_path, word) == [f"group {group}"]
    finally:
        group.rmdir()


@pytest.mark.root
def test_a_loop_device_is_left(tmp_path: Path, word: str) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    device = subprocess.run(["losetup", "--show", "-f", image], capture_output=True, text=True, check=True).stdout
    try:
        (found,) = left(tmp_path, word)
        assert found.startswith("loop device /sys/block/")
    finally:
        subprocess.run(["losetup", "-d", device.strip()], check=True)
