"""A small file system of its own, and how to fill it: what a full disk is to a program."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(directory: Path, size: str) -> Iterator[None]:
    """A tmpfs on a directory; `size` as mount takes it. Fails at its end where somebody still has a file of it open."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.strip()}")
    try:
        yield
    finally:
        done = subprocess.run(["umount", str(directory)], capture_output=True, text=True, check=False)
        if done.returncode:  # so that the next test finds a clean host all the same
            subprocess.run(["umount", "-l", str(directory)], check=True)
    assert done.returncode == 0, done.stderr


def fill(directory: Path) -> Path:
    """Use up all the space that is left; the file that does, to be removed again."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(directory).f_bfree == 0
    return ballast
