"""The root file systems of tasks, made from images: unpacked once, and held by the tasks that use them."""

from __future__ import annotations

import os
from typing import Any

from sandbox import rootfs
from thermos import paths
from thermos.checkpoint import tasks

from .accept import CannotAccept


def prepare(reference: str, root: str, task_id: str) -> Any:
    """What a reference names, as `sandbox.rootfs.Image`. Raises CannotAccept."""
    os.makedirs(paths.images_dir(root), mode=0o711, exist_ok=True)
    try:
        return rootfs.prepare(reference, paths.images_dir(root), task_id, alive=lambda holder: _alive(root, holder))
    except rootfs.BadImage as error:
        raise CannotAccept(69, str(error)) from None


def _alive(root: str, task_id: str) -> bool:
    """Whether a task may still run in its root file system."""
    try:
        accepted = tasks.read_accepted(root, task_id)
        return tasks.supervised(root, task_id) or not tasks.read_state(root, accepted).ended
    except Exception:  # what cannot be read is not to be taken away from
        return os.path.isdir(paths.task_dir(root, task_id))
