"""The root file systems of tasks, made from images: unpacked once, and held by the tasks that use them."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from sandbox import rootfs
from thermos import paths

from . import ground
from .accept import CannotAccept


def prepare(reference: str, root: str, task_id: str) -> Any:
    """What a reference names, as `sandbox.rootfs.Image`. Raises CannotAccept."""
    try:
        os.makedirs(paths.images_dir(root), mode=0o711, exist_ok=True)
        return rootfs.prepare(
            reference, paths.images_dir(root), task_id, alive=lambda holder: ground.alive(root, holder)
        )
    except OSError as error:
        raise CannotAccept(73, f"cannot keep images in {paths.images_dir(root)}: {error.strerror}") from None
    except rootfs.BadImage as error:
        raise CannotAccept(69, str(error)) from None


def give_back(image: Any, root: str, task_id: str) -> None:
    """Of a task that was refused after its image had been prepared."""
    try:
        rootfs.release(paths.images_dir(root), task_id)
    except rootfs.BadImage:
        pass  # the next one who prepares an image finds a holder that is no task
    image.close()


def main() -> None:
    """A program: who holds an image in a store, as JSON, holds none any more. See `programs`."""
    asked = json.load(sys.stdin)
    try:
        rootfs.release(asked["store"], asked["holder"])
    except rootfs.BadImage as error:
        print(json.dumps({"cannot": str(error)}))
        sys.exit(1)
    print("{}")
