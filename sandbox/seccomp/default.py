"""What processes of a sandbox may not call, unless a capability of theirs is good for nothing without it. Pure.

The model is the default profile of container runtimes (moby/profiles seccomp/default.json, containers/common
pkg/seccomp/seccomp.json): what those deny to a container without further capabilities is denied here, and a
capability opens what it opens there. They say what is allowed; this says what is denied, and calls newer than the
tables of numbers are answered with ENOSYS, so the outcome is alike and the list can be read.

Stricter than they are:
* ptrace and the calls that read and write another process's memory, unless `trace` is asked (theirs allow them since
  Linux 4.8, where they no longer lead around the filter; one process of a task need not own the others);
* modify_ldt, needed by 16 bit programs alone, and calls through the 32 bit entry, which end the process with SIGSYS;
* socket families beyond UNIX, INET, INET6 and NETLINK: kernel modules that hardly anybody uses, and many a hole;
* leases of files (fcntl F_SETLEASE), without CAP_LEASE: they hold up whoever opens the file, for
  /proc/sys/fs/lease-break-time seconds each time, and a file that may only be read will do;
* the ioctls TIOCSTI and TIOCLINUX, which type for whoever reads the terminal next;
* changing a file's project (FS_IOC_FSSETXATTR, file_setattr) and its flags (FS_IOC_SETFLAGS, one of which hands the
  project on): with a quota by project the files of a task could walk out of it.
Milder: unshare without a namespace's bit (CLONE_FILES, CLONE_FS) is one's own affair.
"""

from __future__ import annotations

import errno

from .profile import ALLOW, ERRNO, INT, MASKED_NE, Condition, Profile, Rule, deny

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_NAMESPACES = 0x7E020000
#: Only of unshare: in clone's flags this bit is part of a signal's number.
_NEWTIME = 0x00000080

#: Denied to everybody.
_ALWAYS = """
    io_uring_setup io_uring_enter io_uring_register userfaultfd
    add_key request_key keyctl
    pivot_root swapon swapoff nfsservctl sysfs ustat uselib kexec_load kexec_file_load
    migrate_pages move_pages modify_ldt
    _sysctl afs_syscall create_module get_kernel_syms getpmsg putpmsg query_module security tuxcall vserver
"""

#: Denied unless one of these capabilities is there.
_FOR_CAPABILITIES = (
    (("SYS_ADMIN",), "mount umount2 open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr"),
    (("SYS_ADMIN",), "setns sethostname setdomainname quotactl quotactl_fd fanotify_init lookup_dcookie"),
    (("SYS_ADMIN",), "lsm_get_self_attr lsm_set_self_attr lsm_list_modules"),
    (("SYS_ADMIN", "BPF"), "bpf"),
    (("SYS_ADMIN", "PERFMON"), "perf_event_open"),
    (("SYS_ADMIN", "SYSLOG"), "syslog"),
    (("SYS_BOOT",), "reboot"),
    (("SYS_CHROOT",), "chroot"),
    (("SYS_MODULE",), "init_module finit_module delete_module"),
    (("SYS_PACCT",), "acct"),
    (("SYS_RAWIO",), "iopl ioperm"),
    (("SYS_TIME",), "clock_settime settimeofday"),
    (("SYS_TTY_CONFIG",), "vhangup"),
    (("SYS_NICE",), "mbind get_mempolicy set_mempolicy set_mempolicy_home_node"),
    (("DAC_READ_SEARCH",), "open_by_handle_at"),
)

_TRACE = "ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp"

_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
#: Of fcntl. The second is for directories, of Linux 6.19.
_F_SETLEASE, _F_SETDELEG = 1024, 1040

_FS_IOC_SETFLAGS, _FS_IOC32_SETFLAGS, _FS_IOC_FSSETXATTR = 0x40086602, 0x40046602, 0x401C5820

#: PER_LINUX, PER_LINUX32, each also with UNAME26, and the question which it is.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_ADDR_NO_RANDOMIZE = 0x40000  # what debuggers set

_UNIX, _INET, _INET6, _NETLINK, _PACKET, _ALG, _VSOCK, _XDP = 1, 2, 10, 16, 17, 38, 40, 44
_NETLINK_AUDIT = 9

#: The second makes both sockets, and loads the module of their family, before it asks whether that knows pairs.
_MAKE_SOCKETS = ("socket", "socketpair")


def profile(capabilities: Collection[str] = (), *, trace: bool = False) -> Profile:
    """The default profile. `capabilities`: names without CAP_ that the bounding set keeps. `trace`: for debuggers."""
    return Profile(ALLOW, _rules(frozenset(capabilities), trace))


def _rules(capabilities: frozenset[str], trace: bool) -> Iterator[Rule]:
    yield from map(deny, _ALWAYS.split())
    for opened_by, names in _FOR_CAPABILITIES:
        if capabilities.isdisjoint(opened_by):
            yield from map(deny, names.split())
    if not trace and "SYS_PTRACE" not in capabilities:
        yield from map(deny, _TRACE.split())
    if "SYS_ADMIN" not in capabilities:
        yield deny("clone", argument=0, bits=_NAMESPACES)
        yield deny("unshare", argument=0, bits=_NAMESPACES | _NEWTIME)
        # Its flags are behind a pointer. At ENOSYS the C library falls back on clone, whose flags can be judged.
        yield deny("clone3", errno.ENOSYS)
    yield deny("ioctl", argument=1, equals=_TIOCSTI)
    yield deny("ioctl", argument=1, equals=_TIOCLINUX)
    if "LINUX_IMMUTABLE" not in capabilities:
        # As a file system says it that has no such attributes: programs that copy files go on without.
        for request in (_FS_IOC_SETFLAGS, _FS_IOC32_SETFLAGS, _FS_IOC_FSSETXATTR):
            yield deny("ioctl", errno.EOPNOTSUPP, argument=1, equals=request)
        yield deny("file_setattr", errno.EOPNOTSUPP)
    if "LEASE" not in capabilities:
        # As a file system says it that has none.
        for command in (_F_SETLEASE, _F_SETDELEG):
            yield deny("fcntl", errno.EINVAL, argument=1, equals=command)
    harmless = (*_PERSONALITIES, _ADDR_NO_RANDOMIZE) if trace else _PERSONALITIES
    yield Rule("personality", ERRNO | errno.EPERM, [Condition(0, MASKED_NE, each, INT) for each in harmless])
    yield from _sockets(capabilities)


def _sockets(capabilities: frozenset[str]) -> Iterator[Rule]:
    if "NET_ADMIN" in capabilities:
        for call in _MAKE_SOCKETS:
            for family in (_ALG, _VSOCK):
                yield deny(call, errno.EAFNOSUPPORT, argument=0, equals=family)
    else:
        families = [_UNIX, _INET, _INET6, _NETLINK]
        if "NET_RAW" in capabilities:
            families += [_PACKET, _XDP]
        others = [Condition(0, MASKED_NE, family, INT) for family in families]
        for call in _MAKE_SOCKETS:
            yield Rule(call, ERRNO | errno.EAFNOSUPPORT, others)
    if capabilities.isdisjoint(("AUDIT_WRITE", "AUDIT_CONTROL")):
        # EINVAL is what libaudit takes for a kernel without auditing: login programs go on then.
        audit = [
            *deny("socket", argument=0, equals=_NETLINK).conditions,
            *deny("socket", argument=2, equals=_NETLINK_AUDIT).conditions,
        ]
        yield Rule("socket", ERRNO | errno.EINVAL, audit)
