"""A small root file system of the host's own programs, and what the tests look at from inside."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PROGRAMS = ("/bin/sh", "/bin/ls", "/bin/cat", "/usr/bin/id", "/usr/bin/touch", "/usr/bin/stat", "/bin/mkdir")


def make_root(directory: Path) -> Path:
    """sh, ls, cat, id, touch, stat and mkdir in /bin, with the libraries that they load; no /proc, no /dev, no /tmp."""
    (directory / "bin").mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy(program, directory / "bin")
        for word in subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.split():
            library = directory / word[1:]
            if word.startswith("/") and not library.exists():
                library.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, library)
    return directory
