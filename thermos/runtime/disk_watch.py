"""The program that watches how much the task's directory holds: started, listened to, and started again."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from sandbox.cgroups.controllers.memory import size
from thermos.core.task import Accepted

from . import ground

#: A program that lived for so many seconds was not young; after so many young ones nobody watches any more.
_OLD, _YOUNG = 10.0, 5


class DiskWatch:
    """Its descriptor becomes readable when the program says something, or is gone."""

    def __init__(self, root: str, accepted: Accepted, young: int = 0) -> None:
        self._root = root
        self._accepted = accepted
        self._limit = accepted.task.resources.disk or 0
        self._disk = ground.disk_of(root, accepted.task_id)
        self._said = b""
        self._pid = 0
        self._young = young
        self._since = time.monotonic()
        self._reader, theirs_out = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        theirs_in, self._writer = os.pipe2(os.O_CLOEXEC)
        try:
            argv = ground.watcher()
            actions = [(os.POSIX_SPAWN_DUP2, theirs_in, 0), (os.POSIX_SPAWN_DUP2, theirs_out, 1)]
            if self._disk is not None:
                self._pid = os.posix_spawn(
                    argv[0], argv, dict(os.environ), file_actions=actions, setsigmask=(), setsigdef=()
                )
                os.write(self._writer, json.dumps(self._disk).encode() + b"\n")
        except OSError:
            pass  # its end of the pipe is closed: that nobody watches is seen there
        finally:
            os.close(theirs_out)
            os.close(theirs_in)

    def fileno(self) -> int:
        return self._reader

    def row(self, lost: str = "") -> dict[str, Any]:
        """Asked versus got. `lost`: why nobody watches any more."""
        return ground.row_of_disk(self._disk, self._limit, lost)

    def hear(self) -> tuple[str, bool]:
        """Why the task has to end, or nothing; and whether no more is to be heard."""
        try:
            more = os.read(self._reader, 1 << 16)
        except BlockingIOError:
            return "", False
        *lines, self._said = (self._said + more).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if said["reached"]:
                return f"it has used up its disk space of {size(self._limit)}: {said['reached']}", True
        return "", not more

    def another(self) -> DiskWatch | None:
        """In place of one that is gone and has said nothing. None: the next would go the same way."""
        young = self._young + 1 if time.monotonic() < self._since + _OLD else 0
        if self._disk is None or young > _YOUNG:
            return None
        return DiskWatch(self._root, self._accepted, young)

    def close(self) -> None:
        """The program is gone when this returns: whoever ends the limit must find nobody in the directory."""
        os.close(self._reader)
        os.close(self._writer)
        if self._pid:
            try:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
