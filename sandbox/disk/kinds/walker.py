"""Walker: nothing refuses a writer, but a process counts the files over and over, and says when there are too many.

The one way that works everywhere: for plain users, on every file system, for directories that had files before. What
the task writes between two passes it has written: at 1 GB/s and a pass each second the limit is passed by a gigabyte.
"""

from __future__ import annotations

import json
import os
import time

from sandbox.disk import records
from sandbox.disk.walk import DEEPEST, TooDeep, Tree

from .kind import NEAR, CannotLimit, Figure, Kind, open_directory, reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.disk.usage import Disk


def _begin(disk: Disk, place: str, note: Callable[[], None]) -> None:
    try:
        os.close(open_directory(disk["directory"]))
    except OSError as error:
        raise CannotLimit(f"{disk['directory']} cannot be read: {error.strerror}") from None
    note()


def _again(disk: Disk, place: str, stage: str) -> None:
    return None


def _end(disk: Disk, place: str, stage: str, note: Callable[[str], None]) -> str:
    return ""


class _Watch:
    """It looks each second, or as seldom as that it takes 2 % of a processor: the files of a directory do not tell when
    they grow. inotify would, with a watch for each directory, of which a user has few (8192 on many hosts), and says
    nothing of what is written through a mapping.
    """

    _LEAST, _LEAST_NEAR, _MOST = 1.0, 0.25, 60.0  # seconds
    _SHARE = 50

    fd = -1

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._tree = Tree(disk["directory"])
        self._took = 0.0

    def look(self) -> Figure:
        before = time.thread_time()
        limit, files = self._disk["limit"], self._disk["files"]
        try:
            self._tree.count(limit)
            why = reached(self._tree.bytes, limit, self._tree.files, files)
            if why:  # what was moved or linked meanwhile was perhaps counted twice
                self._tree.count(limit, whole=True)
                why = reached(self._tree.bytes, limit, self._tree.files, files)
        except TooDeep:
            why = f"its directories are nested more than {DEEPEST} deep, and cannot be counted"
        self._took = time.thread_time() - before
        figure = Figure(self._tree.bytes, self._tree.files, why, self._tree.unread)
        self._write(figure)
        return figure

    def _write(self, figure: Figure) -> None:
        """For `usage`, whoever asks; its age is that of the file."""
        path = f"{records.place(self._disk['state'], self._disk['holder'])}/figure"
        text = json.dumps({"bytes": figure.bytes, "files": figure.files, "unread": figure.unread})
        try:
            records.replace(path, text)
        except FileNotFoundError:
            pass  # the limit was taken away

    def rest(self, figure: Figure) -> float:
        least = self._LEAST_NEAR if figure.bytes >= NEAR * self._disk["limit"] else self._LEAST
        return min(max(least, self._SHARE * self._took), self._MOST)

    def heard(self) -> None:
        """Nothing tells it anything."""

    def close(self) -> None:
        self._tree.close()


ROW = Kind("walker", False, _begin, _again, _end, _Watch)
