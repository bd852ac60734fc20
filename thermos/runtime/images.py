"""The root file systems of tasks, made from images: unpacked once, and held by the tasks that use them.

A directory has nothing to be unpacked, and takes none of what unpacks: that is longer in being imported than a sandbox
in being made.
"""

from __future__ import annotations

import os

from thermos import paths

from . import ground
from .accept import CannotAccept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def prepare(reference: str, root: str, task_id: str) -> Any:
    """What a reference names, as `sandbox.rootfs.Image`. Raises CannotAccept."""
    if _is_plain(reference):
        return Directory(os.path.realpath(reference))
    from sandbox import rootfs

    try:
        os.makedirs(paths.images_dir(root), mode=0o711, exist_ok=True)
        # Whoever runs the same id at the same moment waits, and finds the task that the first one has made.
        return rootfs.prepare(
            reference, paths.images_dir(root), task_id, alive=lambda holder: ground.alive(root, holder), wait=True
        )
    except OSError as error:
        raise CannotAccept(73, f"cannot keep images in {paths.images_dir(root)}: {error.strerror}") from None
    except rootfs.BadImage as error:
        raise CannotAccept(69, reasons=[("sandbox.rootfs", str(error))]) from None


class Directory:
    """As `sandbox.rootfs.Image`, of a directory that is a root file system already."""

    __slots__ = ("lower",)

    def __init__(self, path: str) -> None:
        self.lower = (path,)

    def close(self) -> None:
        """It holds nothing."""


def _is_plain(reference: str) -> bool:
    """Whether it is a directory and no image layout, as `sandbox.rootfs` tells them apart. That refuses /."""
    if not os.path.isabs(reference) or not os.path.isdir(reference) or os.path.realpath(reference) == "/":
        return False
    return not os.path.isfile(f"{reference}/oci-layout")


def give_back(image: Any, root: str, task_id: str) -> None:
    """Of a task that was refused after its image had been prepared."""
    if isinstance(image, Directory):
        return
    from sandbox import rootfs

    try:
        rootfs.release(paths.images_dir(root), task_id)
    except rootfs.BadImage:
        pass  # the next one who prepares an image finds a holder that is no task
    image.close()


def main() -> None:
    """A program: who holds an image in a store, as JSON, holds none any more. See `programs`."""
    import json
    import sys

    from sandbox import rootfs

    asked = json.load(sys.stdin)
    try:
        rootfs.release(asked["store"], asked["holder"])
    except rootfs.BadImage as error:
        print(json.dumps({"cannot": str(error)}))
        sys.exit(1)
    print("{}")
