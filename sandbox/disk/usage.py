"""How full a limited directory is: one system call, or one small file, and no privilege. It changes nothing."""

from __future__ import annotations

import json
import os
import time
from typing import NamedTuple, NotRequired, TypedDict


class Disk(TypedDict):
    """A limit that is held. Plain data: it may be written down as JSON, and used by any process of this host."""

    kind: str  # a key of `kinds.KINDS`
    directory: str  # absolute
    limit: int  # bytes
    files: int | None  # how many files and directories; None: not limited (but by the file system's own size)
    state: str  # where it is recorded: see `records`
    holder: str
    passed_over: list[list[str]]  # [kind, why] of each better one that could not be had here
    uuid: NotRequired[str]  # of kind "loop": its file system's
    fsid: NotRequired[int]  # and what statvfs makes of that
    project: NotRequired[int]  # of kind "project"
    was: NotRequired[int]  # of kind "project": whose the directory was before


class Used(NamedTuple):
    """`bytes` of `limit`, and how many files and directories of `files_limit` (None: not limited)."""

    bytes: int
    limit: int
    files: int  # 0 with kind "project" and no limit on them: the kernel shows only root how many there are
    files_limit: int | None
    age: float  # seconds since it was counted; 0 where the kernel counts
    unread: int = 0  # directories that could not be looked into


def usage(disk: Disk) -> Used | None:
    """None: nobody knows now. It is not mounted (after a reboot, before `again`), or was not counted yet."""
    try:
        return _READ[disk["kind"]](disk)
    except (OSError, ValueError, KeyError):
        return None


#: Inodes of an ext4 file system that nobody made: the first ones, with its uppermost directory among them.
_OWN_INODES = 10


def _loop(disk: Disk) -> Used | None:
    seen = os.statvfs(disk["directory"])
    if seen.f_fsid != disk.get("fsid"):
        return None
    files = max(0, seen.f_files - seen.f_ffree - _OWN_INODES)
    most = disk["files"] or seen.f_files - _OWN_INODES
    free = seen.f_bavail * seen.f_frsize
    return Used(max(0, disk["limit"] - free), disk["limit"], files, most, 0.0)


def _project(disk: Disk) -> Used | None:
    """statvfs shows a project's limits as the size of its directory's file system.

    Where the real one has less room than the limit leaves, it says that, and this figure is too large; `watch`, which
    may ask for the quota itself, goes by that.
    """
    seen = os.statvfs(disk["directory"])
    if abs(seen.f_blocks * seen.f_frsize - disk["limit"]) > seen.f_frsize:
        return None  # quotas are off, or the project was taken away
    used = (seen.f_blocks - seen.f_bfree) * seen.f_frsize
    files = seen.f_files - seen.f_ffree - 1 if disk["files"] else 0  # less the directory itself
    return Used(used, disk["limit"], files, disk["files"], 0.0)


def _walker(disk: Disk) -> Used:
    with open(f"{disk['state']}/{disk['holder']}/figure", encoding="utf-8") as file:
        counted = json.load(file)
        age = max(0.0, time.time() - os.fstat(file.fileno()).st_mtime)
    return Used(counted["bytes"], disk["limit"], counted["files"], disk["files"], age, counted["unread"])


_READ = {"loop": _loop, "project": _project, "walker": _walker}
