"""System calls that only disk limits need: quotas, loop devices, file system events.

Each raises OSError with the call's errno. Structures and numbers are those of linux/quota.h, linux/dqblk_xfs.h,
linux/loop.h, linux/fanotify.h and linux/fs.h, as on x86 and arm.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

_libc = ctypes.PyDLL(None, use_errno=True)

_SYS_QUOTACTL_FD = 443  # the same on every architecture, as all calls since Linux 5.1

_PRJQUOTA = 2
_Q_GETQUOTA, _Q_SETQUOTA = 0x800007, 0x800008
_Q_XGETQSTAT = (ord("X") << 8) + 5
_QIF_LIMITS = 5  # of blocks and of inodes
_DQBLK = struct.Struct("=8QI4x")  # hard, soft, bytes; hard, soft, inodes; two times; which fields are meant
_QSTAT = struct.Struct("=bxH")  # version, flags; more follows
_PROJECT_ENFORCED = 1 << 5

_FS_IOC_FSGETXATTR, _FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
_FSXATTR = struct.Struct("=5I8s")  # flags, extent size, extents, project, copy-on-write extent size
_PROJINHERIT = 0x200

_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE, _LOOP_GET_STATUS64 = 0x4C82, 0x4C0A, 0x4C05
_LOOP_INFO = struct.Struct("=5Q4I64s64s32s2Q")  # device, inode, ...; number, ..., flags; name
_LOOP_CONFIG = struct.Struct(f"=II{_LOOP_INFO.size}s64x")  # descriptor, block size, info
_AUTOCLEAR = 4

_FAN_CLOEXEC, _FAN_NONBLOCK, _FAN_REPORT_FID = 1, 2, 0x200
_FAN_MARK_ADD, _FAN_MARK_FILESYSTEM = 1, 0x100
_FAN_MODIFY, _FAN_CLOSE_WRITE, _FAN_CREATE, _FAN_DELETE, _FAN_ONDIR = 2, 8, 0x100, 0x200, 0x40000000


_HERE = -100  # AT_FDCWD, <linux/fcntl.h>


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


# -- project quotas


class Quota:
    """Of one project: limits (0: none) and usage. Bytes, and numbers of inodes."""

    __slots__ = ("bytes", "files", "most_bytes", "most_files")

    def __init__(self, most_bytes: int, bytes: int, most_files: int, files: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = bytes
        self.most_files = most_files
        self.files = files


def _quotactl(command: int, fd: int, number: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
    """By the descriptor (Linux 5.14), before that by the device's name."""
    encoded = ctypes.c_uint((command << 8 | _PRJQUOTA) & 0xFFFFFFFF)
    result = _libc.syscall(_SYS_QUOTACTL_FD, fd, encoded, ctypes.c_uint(number), buffer)
    if result < 0 and ctypes.get_errno() == errno.ENOSYS:
        result = _libc.quotactl(encoded, os.fsencode(_device(fd)), ctypes.c_uint(number), buffer)
    _check(result, "quotactl")


def _device(fd: int) -> str:
    number = os.fstat(fd).st_dev
    with open(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/uevent", encoding="utf-8") as file:
        (name,) = (line[8:].strip() for line in file if line.startswith("DEVNAME="))
    return f"/dev/{name}"


def quotas_enforced(fd: int) -> bool:
    """Whether the file system of `fd` holds to project quotas. Raises OSError where it does not know of any."""
    buffer = ctypes.create_string_buffer(256)
    _quotactl(_Q_XGETQSTAT, fd, 0, buffer)
    flags: int = _QSTAT.unpack_from(buffer.raw)[1]
    return bool(flags & _PROJECT_ENFORCED)


def quota(fd: int, project: int) -> Quota:
    buffer = ctypes.create_string_buffer(_DQBLK.size)
    try:
        _quotactl(_Q_GETQUOTA, fd, project, buffer)
    except OSError as error:
        if error.errno != errno.ENOENT:  # XFS: a project that never had anything
            raise
    hard, _, used, most_files, _, files, *_ = _DQBLK.unpack(buffer.raw)
    return Quota(hard << 10, used, most_files, files)


def set_quota(fd: int, project: int, most_bytes: int, most_files: int) -> None:
    """Limits, 0 for none; bytes in whole KiB.

    The soft limits are the same: beyond them only comes who holds CAP_SYS_RESOURCE, and then the kernel tells of it
    as it tells of a refusal.
    """
    kib = most_bytes >> 10
    packed = _DQBLK.pack(kib, kib, 0, most_files, most_files, 0, 0, 0, _QIF_LIMITS)
    _quotactl(_Q_SETQUOTA, fd, project, ctypes.create_string_buffer(packed, _DQBLK.size))


def project_of(fd: int) -> int:
    """The project a file belongs to; 0: none. Raises OSError where its file system knows of none."""
    fields = bytearray(_FSXATTR.size)
    fcntl.ioctl(fd, _FS_IOC_FSGETXATTR, fields)
    project: int = _FSXATTR.unpack(fields)[3]
    return project


def set_project(fd: int, project: int) -> None:
    """Of a directory, and of whatever will be made in it; 0: none, and no more."""
    fields = bytearray(_FSXATTR.size)
    fcntl.ioctl(fd, _FS_IOC_FSGETXATTR, fields)
    flags, *rest = _FSXATTR.unpack(fields)
    rest[2] = project
    flags = flags | _PROJINHERIT if project else flags & ~_PROJINHERIT
    fcntl.ioctl(fd, _FS_IOC_FSSETXATTR, _FSXATTR.pack(flags, *rest))


# -- loop devices


def attach(image: int, name: str) -> tuple[int, int]:
    """A loop device for an open image: its number, and a descriptor.

    It is gone when nobody has it open or mounted any more. A number that is free belongs to whoever takes it first.
    """
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        while True:
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            shown = os.fsencode(name)[-63:]
            info = _LOOP_INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR, shown, b"", b"", 0, 0)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, _LOOP_CONFIG.pack(image, 4096, info))
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
                continue
            return number, device
    finally:
        os.close(control)


def attached(device: int) -> tuple[int, int]:
    """(device, inode) of the file behind a loop device, given its descriptor. Raises OSError: there is none."""
    answer = bytearray(_LOOP_INFO.size)
    fcntl.ioctl(device, _LOOP_GET_STATUS64, answer)
    fields = _LOOP_INFO.unpack(answer)
    return fields[0], fields[1]


# -- what happens on a file system


def changes(directory: str) -> int:
    """A descriptor that is readable when something was written, made or removed on a directory's file system.

    By whatever mount and in whatever namespace. What is written through a mapping shows when it is closed.
    """
    fd = _check(_libc.fanotify_init(_FAN_CLOEXEC | _FAN_NONBLOCK | _FAN_REPORT_FID, os.O_RDONLY), "fanotify_init")
    mask = _FAN_MODIFY | _FAN_CLOSE_WRITE | _FAN_CREATE | _FAN_DELETE | _FAN_ONDIR
    flags = ctypes.c_uint(_FAN_MARK_ADD | _FAN_MARK_FILESYSTEM)
    try:
        path = os.fsencode(directory)
        _check(_libc.fanotify_mark(fd, flags, ctypes.c_uint64(mask), _HERE, path), f"fanotify_mark {directory}")
    except OSError:
        os.close(fd)
        raise
    return fd
