"""bwrap (bubblewrap): namespaces, without limits and without a daemon."""

from __future__ import annotations

import os
from collections.abc import Sequence

NAME, PACKAGE = "bwrap", "bubblewrap"


def command(argv: Sequence[str]) -> list[str]:
    """The command line that executes `argv` in every namespace there is, on the host's /usr."""
    links = [
        word
        for name in ("bin", "lib", "lib64", "sbin")
        if os.path.islink(f"/{name}")
        for word in ("--symlink", os.readlink(f"/{name}"), f"/{name}")
    ]
    mounts = ["--ro-bind", "/usr", "/usr", *links, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    return [NAME, "--unshare-all", *mounts, "--", *argv]
