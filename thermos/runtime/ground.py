"""What a task stands on that is not the kernel's to clean up: its limit of disk space, and who holds it.

Imported for tasks that ask for such a thing, and for no others.
"""

from __future__ import annotations

import os
import sys

from thermos import paths

from .limits import row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sandbox.disk.usage import Disk
    from thermos.core.task import Accepted

    from .accept import User
    from .limits import Row


def holder(accepted: Accepted) -> str:
    """The task's name among all tasks of the host, whatever their root."""
    return os.path.basename(next(iter(accepted.cgroups.values()), "")) or accepted.task_id


def limit_disk(root: str, task_id: str, sandbox: str, limit: int, owner: User, others: Mapping[str, User]) -> None:
    """Have a limit on what the sandbox directory holds, or have it again, and the directory of logs in it.

    Raises CannotAccept.
    """
    from sandbox.disk import limit as disk
    from sandbox.disk.kinds import CannotLimit

    from . import accept

    try:
        os.makedirs(paths.disks_dir(root), mode=0o700, exist_ok=True)
        disk.again(disk.begin(sandbox, limit, paths.disks_dir(root), task_id))
        accept.make_sandbox(sandbox, owner)
        accept.admit(sandbox, owner, others)
    except (CannotLimit, OSError) as error:
        raise accept.CannotAccept(69, f"cannot limit the disk space of {task_id}: {error}") from None


def limit_disk_again(root: str, accepted: Accepted) -> None:
    """Of a task that is resumed. Raises CannotAccept."""
    from .accept import User

    limit = accepted.task.resources.disk
    if limit is None or accepted.isolation_mode == "none":
        return
    owner = User(accepted.user, accepted.uid, accepted.gid, list(accepted.groups))
    others = {
        process.name: User(process.user, uid, gid, list(groups))
        for process in accepted.task.processes
        if process.user is not None
        for uid, gid, groups in [accepted.users[process.user]]
    }
    limit_disk(root, accepted.task_id, accepted.sandbox, limit, owner, others)


def disk_of(root: str, task_id: str) -> Disk | None:
    """The limit that there is."""
    from sandbox.disk import records

    found = records.read(records.place(paths.disks_dir(root), task_id))
    return None if found is None else found[1]


def row_of_disk(disk: Disk | None, limit: int) -> Row:
    """Asked versus got."""
    from sandbox.cgroups.controllers.memory import size

    if disk is None:
        return row("disk", size(limit), None, "its limit is gone")
    return row("disk", size(limit), f"{size(disk['limit'])} ({disk['kind']})")


def end_of_disk(root: str, accepted: Accepted) -> list[tuple[list[str], Any]]:
    disk = disk_of(root, accepted.task_id)
    return [] if disk is None else [(_command("end"), disk)]


def watcher() -> list[str]:
    """The program that says when a limit is reached."""
    return _command("watch")


def _command(verb: str) -> list[str]:
    roots = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))]
    code = f"import sys; sys.path[:0] = {roots!r}; from sandbox.disk.__main__ import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-I", "-S", "-c", code, verb]
