"""The only file that knows ctypes and libc: system calls that Python 3.11 has no function for.

Each raises OSError with the call's errno. PyDLL keeps the interpreter's lock, so a forked child may use them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

_libc = ctypes.PyDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
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
MS_SLAVE = 1 << 19

_FALLOC_FL_KEEP_SIZE = 1

_PR_SET_PDEATHSIG = 1
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
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def die_with_parent(signo: int) -> None:
    """Get a signal when the thread that forked us ends. To be called after a change of user, which undoes it."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signo, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def set_child_subreaper() -> None:
    """Orphaned descendants become children of this process."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


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
_SIGCHLD = 17
_CLONE_ARGS = struct.Struct("11Q")  # flags, pidfd, child_tid, parent_tid, exit_signal, stack ... set_tid_size, cgroup


def fork_into(cgroup: str) -> int:
    """fork, with the child born in a version 2 cgroup (Linux 5.7): it spares the move, and what a move waits for.

    The interpreter is told as os.fork tells it. The C library is not: only a process with one thread may do this,
    and the child should soon execute something. Raises OSError, with ENOSYS or E2BIG on a kernel that is too old.
    """
    fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    arguments = _CLONE_ARGS.pack(_CLONE_INTO_CGROUP, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, fd)
    _libc.PyOS_BeforeFork()
    pid: int = _libc.syscall(_SYS_CLONE3, arguments, ctypes.c_size_t(_CLONE_ARGS.size))
    if pid == 0:
        _libc.PyOS_AfterFork_Child()
        return 0
    number = ctypes.get_errno()
    _libc.PyOS_AfterFork_Parent()
    os.close(fd)
    if pid < 0:
        raise OSError(number, os.strerror(number), cgroup)
    return pid
