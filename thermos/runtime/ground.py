"""What a task stands on that is not the kernel's to clean up: its limit of disk space, its network's address, its
image; and who holds them.

Imported for tasks that ask for such a thing, and for no others; see `wanted`.
"""

from __future__ import annotations

import os
import sys

from thermos import paths

from .start import command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sandbox.disk.usage import Disk
    from thermos.core.task import Accepted

    from .accept import User
    from .limits import Row

    #: A program, what it is asked, for how many seconds it is waited for, and whether it goes on when they are over.
    Errand = tuple[list[str], dict[str, Any], float, bool]

#: Seconds to wait for files to be copied out of an image that was a file system. It goes on when they are over.
COPYING_PATIENCE = 600.0

#: Seconds to wait for what takes a few hundredths when nobody else is at it.
_PATIENCE = 60.0


def holder(accepted: Accepted) -> str:
    """The task's name among all tasks of the host, whatever their root."""
    return os.path.basename(next(iter(accepted.cgroups.values()), "")) or accepted.task_id


def alive(root: str, task_id: str) -> bool:
    """Whether a task of that root may still stand on what it holds: it runs, or can be resumed."""
    from thermos.checkpoint import tasks

    try:
        if tasks.supervised(root, task_id):
            return True
        return not tasks.read_state(root, tasks.read_accepted(root, task_id)).ended
    except Exception:  # what cannot be read is not to be taken away from
        return os.path.isdir(paths.task_dir(root, task_id))


# -- the end


def wanted(accepted: Accepted) -> bool:
    """Whether a task asks for any of it."""
    task = accepted.task
    return accepted.isolation_mode != "none" and (
        task.resources.disk is not None or task.sandbox.network == "private" or task.sandbox.rootfs is not None
    )


def errands(root: str, accepted: Accepted) -> list[Errand]:
    """What is still to be done when nothing of the task lives any more."""
    task = accepted.task
    found: list[Errand] = []
    if accepted.isolation_mode == "none":
        return found
    if task.sandbox.network == "private" and _has_address(holder(accepted)):
        from sandbox import network

        found.append((network.command("down"), network.down(holder(accepted), paths.NETWORKS), _PATIENCE, False))
    if task.sandbox.rootfs is not None and os.path.isdir(f"{paths.images_dir(root)}/holders/{accepted.task_id}"):
        question = {"store": paths.images_dir(root), "holder": accepted.task_id}
        found.append((command("images"), question, _PATIENCE, False))
    disk = disk_of(root, accepted.task_id) if task.resources.disk is not None else None
    if disk is not None:
        found.append((_of_disk("end"), dict(disk), COPYING_PATIENCE, True))
    return found


def _has_address(name: str) -> bool:
    """An address is taken before all else of a network, and given back last."""
    try:
        held = [entry for entry in os.scandir(paths.NETWORKS) if entry.is_symlink()]
    except OSError:
        return False
    for entry in held:
        try:
            if os.readlink(entry.path) == name:
                return True
        except OSError:
            continue  # it was given back meanwhile
    return False


# -- disk space


def limit_disk(root: str, task_id: str, sandbox: str, limit: int, owner: User, others: Mapping[str, User]) -> None:
    """Have a limit on what the sandbox directory holds, or have it again, and the directory of logs in it.

    Raises CannotAccept.
    """
    from sandbox.disk import limit as disk
    from sandbox.disk.kinds import CannotLimit

    from . import accept

    try:
        os.makedirs(paths.disks_dir(root), mode=0o700, exist_ok=True)
        _sweep_disks(root)
        disk.again(disk.begin(sandbox, limit, paths.disks_dir(root), task_id))
        accept.make_sandbox(sandbox, owner)
        accept.admit(sandbox, owner, others)
    except (CannotLimit, OSError, ValueError) as error:
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


def unlimit_disk(root: str, task_id: str) -> None:
    """Of a task that was refused after all."""
    from sandbox.disk import limit

    disk = disk_of(root, task_id)
    if disk is not None:
        limit.end(disk)


def _sweep_disks(root: str) -> None:
    """The limits of tasks that are over and that nobody has resumed, in the background: it may take long."""
    from sandbox.disk import records

    for task_id in records.holders(paths.disks_dir(root)):
        disk = None if alive(root, task_id) else disk_of(root, task_id)
        if disk is not None:
            _end_in_background(dict(disk))


def _end_in_background(disk: dict[str, Any]) -> None:
    """By a grandchild: a keeper, which we are about to become, kills its children at the end."""
    import json

    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        os.setsid()
        theirs, ours = os.pipe()
        os.set_inheritable(ours, False)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        actions = [(os.POSIX_SPAWN_DUP2, theirs, 0), *((os.POSIX_SPAWN_DUP2, nowhere, fd) for fd in (1, 2))]
        argv = _of_disk("end")
        os.posix_spawn(argv[0], argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, file_actions=actions, setsigmask=())
        os.write(ours, json.dumps(disk).encode() + b"\n")
    finally:
        os._exit(0)


def disk_of(root: str, task_id: str) -> Disk | None:
    """The limit that there is."""
    from sandbox.disk import records

    try:
        found = records.read(records.place(paths.disks_dir(root), task_id))
    except (OSError, ValueError, KeyError):
        return None
    return None if found is None else found[1]


def row_of_disk(disk: Disk | None, limit: int, lost: str = "") -> Row:
    """Asked versus got. `lost`: why it is not kept any more."""
    from sandbox.cgroups.controllers.memory import size

    from .limits import row

    if disk is None or lost:
        return row("disk", size(limit), None, lost or "its limit is gone")
    return row("disk", size(limit), f"{size(disk['limit'])} ({disk['kind']})")


def watcher() -> list[str]:
    """The program that says when a limit is reached. It dies with whoever starts it, also when it has been stopped."""
    return _of_disk("watch", "from sandbox import syscalls; syscalls.die_with_parent(9); ")


def _of_disk(verb: str, first: str = "") -> list[str]:
    roots = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))]
    program = "from sandbox.disk.__main__ import main; sys.exit(main(sys.argv[1:]))"
    code = f"import sys; sys.path[:0] = {roots!r}; {first}{program}"
    return [sys.executable, "-I", "-S", "-X", "utf8", "-c", code, verb]
