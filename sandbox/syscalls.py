"""System calls that Python 3.11 has no function for, by ctypes: those of namespaces, mounts and processes.

Each raises OSError with the call's errno. PyDLL keeps the interpreter's lock, so a forked child may use them. What one
part alone needs is beside it: privileges/doing.py, seccomp/install.py, cgroups/device_program.py, disk/calls.py,
durable.py. None of them is imported where its part is not asked for.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_libc = ctypes.PyDLL(None, use_errno=True)
#: Looked up here: what a forked child looks up it forgets, and the search touches half of the C library.
_prctl, _syscall = _libc.prctl, _libc.syscall

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

MOUNT_ATTR_IDMAP = 0x00100000

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_IN_ROOT = 0x10

_FALLOC_FL_KEEP_SIZE = 1

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# PIDFD_GET_INFO, _IOWR(0xFF, 11, 64 bytes), and the request for the exit status (Linux 6.15).
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 8
_PIDFD_INFO = struct.Struct("<QQ11Ii")  # mask, cgroup id, pid ... fsgid, exit code as a wait status


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones. A new pid namespace is for the children born from now on."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """Enter the namespaces of a pidfd (Linux 5.8), or the one that `fd` is. A pid namespace: for children."""
    _check(_libc.setns(fd, flags), "setns")


def mount(source: str | None, target: str, fstype: str | None = None, flags: int = 0, data: str | None = None) -> None:
    result = _libc.mount(_bytes(source), _bytes(target), _bytes(fstype), ctypes.c_ulong(flags), _bytes(data))
    _check(result, f"mount {target}")


def umount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(_bytes(target), flags), f"umount {target}")


# The calls below that have their number here have no function in older C libraries. From 424 on a number is the same
# on every architecture.
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_EMPTY_PATHS = 0x04 | 0x40
_CLOSE_RANGE_CLOEXEC = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_MOUNT_ATTR = struct.Struct("4Q")  # set, clear, propagation, user namespace
_OPEN_HOW = struct.Struct("3Q")  # flags, mode, resolve

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_CLOSE_RANGE = 436
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_MACHINE = {
    "x86_64": {"clone": 56, "pivot_root": 155, "keyctl": 250},
    "aarch64": {"clone": 220, "pivot_root": 41, "keyctl": 219},
}


def _number(name: str) -> int:
    machine = os.uname().machine
    if machine not in _MACHINE:
        raise OSError(errno.ENOSYS, f"the number of this call is not known on {machine}", name)
    return _MACHINE[machine][name]


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """open, with rules for how the path is resolved (Linux 5.6). `directory`: a descriptor, or -100: where we are."""
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, 0, resolve)
    return _check(_syscall(_SYS_OPENAT2, directory, _bytes(path), how, ctypes.c_size_t(len(how))), path)


def clone_tree(fd: int, recursive: bool) -> int:
    """A copy of the mount that `fd` is in, from there down, attached nowhere yet (Linux 5.2). Closed, it is gone."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    return _check(_syscall(_SYS_OPEN_TREE, fd, b"", flags), "open_tree")


def attach_tree(tree: int, target: int) -> None:
    """Attach a mount that is nowhere yet (Linux 5.2)."""
    _check(_syscall(_SYS_MOVE_MOUNT, tree, b"", target, b"", _MOVE_MOUNT_EMPTY_PATHS), "move_mount")


def mount_setattr(fd: int, attributes: int, recursive: bool, user_namespace: int = 0, clear: int = 0) -> None:
    """Give a mount MOUNT_ATTR_* (Linux 5.12). Those it has stay, but for `clear`."""
    attr = _MOUNT_ATTR.pack(attributes, clear, 0, user_namespace)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    result = _syscall(_SYS_MOUNT_SETATTR, fd, b"", flags, attr, ctypes.c_size_t(len(attr)))
    _check(result, "mount_setattr")


def pivot_root_here() -> None:
    """The working directory, a mount, becomes the root of the mount namespace; the old root lies over it."""
    _check(_syscall(_number("pivot_root"), b".", b"."), "pivot_root")


def close_on_exec_from(first: int) -> None:
    """No descriptor from this one on survives an execve."""
    if _syscall(_SYS_CLOSE_RANGE, first, ctypes.c_uint(~0), _CLOSE_RANGE_CLOEXEC) == 0:
        return
    for name in os.listdir("/proc/self/fd"):  # before Linux 5.11
        try:
            if int(name) >= first:
                os.set_inheritable(int(name), False)
        except OSError:
            pass  # the one that listed them


def join_new_session_keyring() -> None:
    """Leave the session keyring that we were given, with all keys in it, for an empty one; what we start inherits it.

    Raises OSError: ENOSYS where the kernel has no keys, EPERM behind a seccomp filter (docker's, say)."""
    _check(_syscall(_number("keyctl"), _KEYCTL_JOIN_SESSION_KEYRING, None), "keyctl(JOIN_SESSION_KEYRING)")


def allocate(fd: int, offset: int, length: int) -> None:
    """Allocate blocks for a file without making it longer; nothing where its file system cannot.

    Raises OSError where there is no room (ENOSPC, EDQUOT) or no writing (EROFS).
    """
    if _libc.fallocate(fd, _FALLOC_FL_KEEP_SIZE, ctypes.c_long(offset), ctypes.c_long(length)) < 0:
        number = ctypes.get_errno()
        if number not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(number, os.strerror(number))


def sethostname(name: str) -> None:
    encoded = os.fsencode(name)
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname")


def set_no_new_privs() -> None:
    """No execve from here on gains privileges: set-uid bits and file capabilities mean nothing."""
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def set_dumpable(dumpable: bool = True) -> None:
    """/proc/self is the user's own again after a change of user. Only for who has nothing to hide from that user."""
    _check(_prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def rename(name: str) -> None:
    """What /proc/self/comm says; of the name as much as there is room for."""
    _check(_prctl(_PR_SET_NAME, os.fsencode(name), 0, 0, 0), "prctl(PR_SET_NAME)")


def die_with_parent(signo: int) -> None:
    """Get a signal when the thread that forked us ends. To be called after a change of user, which undoes it."""
    _check(_prctl(_PR_SET_PDEATHSIG, signo, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def set_child_subreaper() -> None:
    """Orphaned descendants become children of this process."""
    _check(_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def pidfd_exit_status(pidfd: int) -> int | None:
    """The wait status of a process that has been reaped, by anyone. None: not over yet, or an older kernel."""
    request = bytearray(_PIDFD_INFO.size)
    struct.pack_into("<Q", request, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, request, True)
    except OSError:  # ENOTTY before 6.13, ESRCH before 6.15
        return None
    fields = _PIDFD_INFO.unpack(request)
    return fields[-1] if fields[0] & _PIDFD_INFO_EXIT else None


_SYS_CLONE3 = 435  # on every architecture
_CLONE_INTO_CGROUP = 0x200000000
_CLONE_PARENT = 0x00008000
_SIGCHLD = 17
_CLONE_ARGS = struct.Struct("11Q")  # flags, pidfd, child_tid, parent_tid, exit_signal, stack ... set_tid_size, cgroup


def fork_into(cgroup: str) -> int:
    """fork, with the child born in a version 2 cgroup (Linux 5.7): it spares the move, and what a move waits for.

    Raises OSError, with ENOSYS or E2BIG on a kernel that is too old. See `_fork` for who may do this.
    """
    fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    arguments = _CLONE_ARGS.pack(_CLONE_INTO_CGROUP, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, fd)
    pid, number = _fork(lambda: _clone3(arguments))
    os.close(fd)  # in the child too: from a directory of the host's ".." leads to all others, whatever its namespaces
    if pid < 0:
        raise OSError(number, os.strerror(number), cgroup)
    return pid


def fork_sibling() -> int:
    """fork, with a child whose parent is our parent. See `_fork` for who may do this. Raises OSError."""
    # No signal of its own: it ends with the one that we end with.
    arguments = _CLONE_ARGS.pack(_CLONE_PARENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    pid, number = _fork(lambda: _clone3(arguments))
    if pid < 0 and number == errno.ENOSYS:  # so say docker's filters, which cannot look into its arguments
        flags = ctypes.c_ulong(_CLONE_PARENT | _SIGCHLD)
        clone = _number("clone")
        pid, number = _fork(lambda: _syscall(clone, flags, None, None, None, None))
    if pid < 0:
        raise OSError(number, os.strerror(number), "clone")
    return pid


def _clone3(arguments: bytes) -> int:
    pid: int = _syscall(_SYS_CLONE3, arguments, ctypes.c_size_t(_CLONE_ARGS.size))
    return pid


def _fork(clone: Callable[[], int]) -> tuple[int, int]:
    """(pid, errno) of a fork that os.fork cannot do.

    The interpreter is told as os.fork tells it. The C library is not: only a process with one thread may do this,
    and the child should soon execute something.
    """
    _libc.PyOS_BeforeFork()
    pid = clone()
    if pid == 0:
        _libc.PyOS_AfterFork_Child()
        return 0, 0
    number = ctypes.get_errno()
    _libc.PyOS_AfterFork_Parent()
    return pid, number
