"""What a process gives up before it runs somebody's file: user, descriptors, file system, network, other processes.

It keeps what it takes to compute: memory and processor time, both bounded, files that anybody may read, and one
descriptor to answer on. A file that wants more gets EPERM from the kernel, whatever module it imports.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal

from sandbox import syscalls
from sandbox.seccomp.install import install
from sandbox.seccomp.profile import ALLOW, Profile, deny
from sandbox.seccomp.program import program

#: The user and group of a file that root runs: the kernel's overflow ids, which own nothing.
NOBODY = 65534

_OPEN_TO_CHANGE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PR_SET_PDEATHSIG = 1
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15  # have the kernel send a signal to whom we like

_NETWORK = "socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg"
_FILES = """
    creat rename renameat renameat2 link linkat unlink unlinkat symlink symlinkat mkdir mkdirat rmdir mknod mknodat
    chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat truncate ftruncate fallocate copy_file_range
    utime utimes futimesat utimensat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr
    removexattrat file_setattr flock memfd_create memfd_secret open_by_handle_at sync syncfs
    io_setup io_submit io_uring_setup io_uring_enter io_uring_register fanotify_init quotactl quotactl_fd
"""
_MOUNTS = """
    mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr
    unshare setns
"""
_PROCESSES = """
    fork vfork clone execve execveat kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal pidfd_getfd
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp setpgid setpriority ioprio_set
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler setrlimit migrate_pages move_pages prctl
    setitimer alarm
"""
_SHARED = """
    shmget shmat shmctl semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend
    mq_timedreceive mq_notify mq_getsetattr add_key request_key keyctl
"""
_KERNEL = """
    bpf perf_event_open userfaultfd reboot kexec_load kexec_file_load init_module finit_module delete_module
    create_module swapon swapoff acct settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname
    syslog vhangup iopl ioperm modify_ldt personality nfsservctl lookup_dcookie uselib _sysctl ustat sysfs
"""
_CREDENTIALS = """
    setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset
"""

DENIED = (
    # To the kernel's newer form of a call, that it is not there: the C library then uses the one that can be judged.
    *(deny(name, errno.ENOSYS) for name in ("openat2", "clone3")),
    # isatty() asks by ioctl, which also types for others (TIOCSTI) and picks whom to signal (FIOSETOWN).
    deny("ioctl", errno.ENOTTY),
    deny("open", argument=1, bits=_OPEN_TO_CHANGE),
    deny("openat", argument=2, bits=_OPEN_TO_CHANGE),
    *(deny("fcntl", argument=1, equals=command) for command in (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)),
    deny("prlimit64", argument=2, bits=2**64 - 1),  # new limits, for whomever; asking for the old ones is fine
    *map(
        deny,
        " ".join((_NETWORK, _FILES, _MOUNTS, _PROCESSES, _SHARED, _KERNEL, _CREDENTIALS)).split(),
    ),
)


class Bounds:
    """Bytes of address space, seconds of processor time."""

    __slots__ = ("memory", "seconds")

    def __init__(self, memory: int, seconds: int) -> None:
        self.memory = memory
        self.seconds = seconds


def give_up(bounds: Bounds, parent: int) -> None:
    """Give up everything but the descriptors that are open. `parent`: this process ends when that one does.

    Raises seccomp.UnknownMachine, OSError.
    """
    filter_program = program(Profile(ALLOW, DENIED), os.uname().machine)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    _bound(bounds)
    # Not sooner: a change of user takes it back.
    ctypes.PyDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    syscalls.set_no_new_privs()
    install(filter_program)


def _bound(bounds: Bounds) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory, bounds.memory))
    # SIGXCPU first, which says what happened, and SIGKILL for a file that has something against it.
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.seconds, bounds.seconds + 1))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
