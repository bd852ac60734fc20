"""Make a user namespace, and write its ids. Imported by the process that makes it alone.

Its ids are written from outside: by the process itself where it is but its own id, else by a child that stays outside,
which is root or asks newuidmap and newgidmap. That child also takes what is to be seen with the ids of the new
namespace: only who has power over the file system outside can do that. It hands over descriptors.
"""

from __future__ import annotations

import _socket
import errno
import marshal
import os
import struct

from . import furnish, syscalls
from .cgroups.kernel import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .plan import Ids, Plan

_FDS = 250  # SCM_MAX_FD is 253


def make(plan: Plan, begin: Callable[[str], None]) -> dict[str, int]:
    """Enter a new user namespace, and let the next child be born in a new pid namespace of it if the plan has one.

    Returns what was taken outside for it: part -> descriptor. Raises OSError; `begin` was told the part.
    """
    assert plan.users is not None
    begin("user")
    uids, gids = plan.users
    if _own_ids_alone(uids, gids) and not plan.outside:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        _write_own_id("self", uids, gids)
        held: dict[str, int] = {}
    else:
        held = _with_help(plan, begin)
    if plan.enter & syscalls.CLONE_NEWPID:
        begin("pid")
        syscalls.unshare(syscalls.CLONE_NEWPID)
    return held


def _own_ids_alone(uids: Ids, gids: Ids) -> bool:
    return [row[1:] for row in uids] == [(os.geteuid(), 1)] and [row[1:] for row in gids] == [(os.getegid(), 1)]


def _write_own_id(whom: str, uids: Ids, gids: Ids) -> None:
    write(f"/proc/{whom}/setgroups", "deny")  # without it a member of fewer groups could see more: user_namespaces(7)
    _write_maps(whom, uids, gids)


def _write_maps(whom: str, uids: Ids, gids: Ids) -> None:
    write(f"/proc/{whom}/uid_map", _rows(uids))
    write(f"/proc/{whom}/gid_map", _rows(gids))


def _rows(ids: Ids) -> str:
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ids)


def _with_help(plan: Plan, begin: Callable[[str], None]) -> dict[str, int]:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    us = os.getpid()
    helper = os.fork()
    if helper == 0:
        try:
            ours.close()
            _help(plan, us, theirs)
        finally:
            os._exit(1)
    theirs.close()
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        ours.send(b"1")
        said, ancillary, _, _ = ours.recvmsg(65536, _socket.CMSG_SPACE(_FDS * 4), _socket.MSG_CMSG_CLOEXEC)
    finally:
        ours.close()  # it goes away if it still waits
        os.waitpid(helper, 0)
    if not said:
        raise OSError(errno.ECHILD, "the process that writes its ids was killed")
    names, failed = marshal.loads(said)
    if failed is not None:
        part, number, text = failed
        begin(part)
        raise OSError(number, text)
    fds = [fd for _, _, data in ancillary for (fd,) in struct.iter_unpack("i", data)]
    return dict(zip(names, fds, strict=True))


def _help(plan: Plan, whom: int, socket: _socket.socket) -> None:
    """In the child outside: wait until there is a namespace, then do what only we can."""
    if not socket.recv(1):
        return
    part = "user"
    held: dict[str, int] = {}
    failed: tuple[str, int, str] | None = None
    try:
        assert plan.users is not None
        _write_ids(whom, *plan.users)
        namespace = os.open(f"/proc/{whom}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        for op in plan.outside:
            part = op[1]
            name, path, recursive = (str(op[3][0]), str(op[3][1]), bool(op[3][2]))
            mapped = op[2] == "take_mapped"
            if mapped or (name not in held and os.geteuid() == 0):  # a plain user can take it inside alone
                held[name] = _take(path, recursive, namespace if mapped else -1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        failed = (part, error.errno or 0, (error.strerror or "") + where)
        held = {}
    words = marshal.dumps((list(held), failed))
    fds = struct.pack(f"{len(held)}i", *held.values())
    rights: list[Any] = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)] if held else []
    socket.sendmsg([words], rights)


def _write_ids(whom: int, uids: Ids, gids: Ids) -> None:
    if os.geteuid() == 0:
        _write_maps(str(whom), uids, gids)
        return
    if _own_ids_alone(uids, gids):
        _write_own_id(str(whom), uids, gids)
        return
    for program, ids in (("newuidmap", uids), ("newgidmap", gids)):
        argv = [program, str(whom), *(str(number) for row in ids for number in row)]
        status = _run(argv)
        if status:
            raise OSError(errno.EPERM, f"{program} refused (status {status}): see /etc/subuid and /etc/subgid", program)


def _run(argv: list[str]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.execvpe(argv[0], argv, {"PATH": "/usr/bin:/bin"})
        except OSError:
            pass
        finally:
            os._exit(127)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _take(path: str, recursive: bool, namespace: int) -> int:
    """Its ids mapped by a user namespace, or -1."""
    tree = furnish.take(path, recursive)
    if namespace < 0:
        return tree
    try:
        syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_IDMAP, recursive, namespace)
    except OSError as error:
        os.close(tree)
        raise OSError(error.errno, f"its file system cannot map ids: {error.strerror}", path) from None
    return tree
