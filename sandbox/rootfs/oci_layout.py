"""A directory laid out as the OCI image specification says: index.json, and blobs by their digests."""

from __future__ import annotations

import os
from contextlib import ExitStack

from . import documents
from .kind import Asked, Found, Kind
from .section import Folder


def _is_one(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "oci-layout")) and os.path.isfile(os.path.join(path, "index.json"))


def find(asked: Asked, stack: ExitStack) -> Found:
    files = Folder(asked.name)
    stack.callback(files.close)
    return Found(*documents.layout(files, asked.tag, asked.platform, asked.budget))


ROW = Kind("image layout", ("oci:",), True, _is_one, find)
