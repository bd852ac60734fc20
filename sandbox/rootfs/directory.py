"""A directory that has a root file system in it already. It is used as it is, and never written to."""

from __future__ import annotations

import os
from contextlib import ExitStack

from .image import Config, Flaw
from .kind import Asked, Found, Kind


def _find(asked: Asked, stack: ExitStack) -> Found:
    path = os.path.realpath(asked.name)
    if not os.path.isdir(path):
        raise Flaw("it is not a directory")
    if path == "/":
        raise Flaw("it is the root of this machine: leave the image out to run in that")
    return Found("", Config(), directory=path)


ROW = Kind("directory", ("directory:",), False, os.path.isdir, _find)
