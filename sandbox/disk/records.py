"""What is remembered of limits, so that nothing of one outlives its holder: a directory for each under `state`.

    <state>/<holder>/record     JSON: {"stage": ..., "disk": ...}; replaced whole, and on the disk before it is acted on
    <state>/<holder>/image      of kind "loop": the file system
    <state>/<holder>/figure     of kind "walker": what was counted last

Whoever changes something holds a lock on the holder's directory; the kernel lets go of it when they die.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager

from sandbox.durable import sync_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .usage import Disk

#: Stages, in their order. What is there at MAKING is worth nothing; up to COPYING the image is the truth, and the
#: directory under it from COPIED on. KEPT: copying out did not work. ENDED: only a number is still taken.
MAKING, HOLDS, COPYING, KEPT, COPIED, ENDED = "making", "holds", "copying", "kept", "copied", "ended"


def place(state: str, holder: str) -> str:
    if not holder or "/" in holder or "\0" in holder or holder.startswith(".") or len(os.fsencode(holder)) > 255:
        raise ValueError(f"cannot keep a record for {holder!r}: a holder's name must be usable as that of a file")
    return f"{state}/{holder}"


def holders(state: str) -> list[str]:
    """Of whom something is remembered."""
    try:
        return sorted(entry.name for entry in os.scandir(state) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


@contextmanager
def locked(state: str, holder: str, *, make: bool = False, wait: bool = True) -> Generator[str | None]:
    """The holder's directory, locked. None: there is none, or (without `wait`) somebody else is at it."""
    path = place(state, holder)
    while True:
        if make:
            os.makedirs(path, mode=0o755, exist_ok=True)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            if make:
                continue
            yield None
            return
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield None
                return
            if not os.fstat(fd).st_nlink:  # removed while we waited
                continue
            yield path
            return
        finally:
            os.close(fd)


def read(path: str) -> tuple[str, Disk] | None:
    """Stage and disk. None: nothing was done yet."""
    try:
        with open(f"{path}/record", encoding="utf-8") as file:
            known = json.load(file)
    except FileNotFoundError:
        return None
    return known["stage"], known["disk"]


def write(path: str, stage: str, disk: Disk) -> None:
    replace(f"{path}/record", json.dumps({"stage": stage, "disk": disk}), durable=True)


def replace(path: str, text: str, *, durable: bool = False) -> None:
    """A file's content, all or nothing; `durable`: also when the power fails."""
    new = f"{path}.new"
    with open(new, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(new, path)
    if durable:
        sync_directory(os.path.dirname(path))


def remove(path: str) -> None:
    """All of it. The record goes last: what is left by a crash in here is still known."""
    for name in os.listdir(path):
        if name != "record":
            os.unlink(f"{path}/{name}")
    try:
        os.unlink(f"{path}/record")
    except FileNotFoundError:
        pass
    os.rmdir(path)
