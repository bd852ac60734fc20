"""The first process of a stage: the machine that the hostile programs of these tests may harm.

A stage has mount, network, UTS, IPC and pid namespaces of its own, furnished as a host is: shared mount propagation as
systemd leaves it, /etc, /root and /usr/bin that may be written to (into memory), its own /tmp, /run, /dev/shm and
terminals, a loopback interface that is up, and this program as pid 1. What a program mounts, kills, renames or
overwrites here harms nobody else, and is gone with this process; and this process goes when those who test go.

argv: the directory that becomes /srv. Writes its pid, as the caller sees it, and then "ready", a line each.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mount, uts, ipc, pid, net
_BIND, _REC, _PRIVATE, _SHARED, _REMOUNT_READ_ONLY = 4096, 16384, 1 << 18, 1 << 20, 4096 | 32 | 1
_PR_SET_PDEATHSIG = 1

#: The user of the tests that are not root's; nobody else's on the machine.
USER = "mallory:x:61234:61234::/nonexistent:/bin/sh\n"
GROUP = "mallory:x:61234:\n"


def checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    words = (source.encode(), target.encode(), fstype.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    checked(libc.mount(*words), target)


def furnish(srv: str) -> None:
    mount("none", "/", flags=_REC | _PRIVATE)
    mount("proc", "/proc", "proc")
    mount(srv, "/srv", flags=_BIND)
    mount("tmpfs", "/mnt", "tmpfs", data="mode=755")
    for directory in ("/etc", "/root", "/usr/bin"):
        upper = "/mnt/" + directory.replace("/", "")
        for part in ("upper", "work"):
            os.makedirs(f"{upper}/{part}")
        mount("overlay", directory, "overlay", data=f"lowerdir={directory},upperdir={upper}/upper,workdir={upper}/work")
    for path, line in (("/etc/passwd", USER), ("/etc/group", GROUP)):
        with open(path, "a") as file:
            file.write(line)
    os.makedirs("/etc/cron.d", exist_ok=True)
    # What runs the programs may lie in a directory that is about to be empty.
    ours = {path: os.open(path, os.O_PATH) for path in (REPOSITORY, sys.base_prefix)}
    mount("tmpfs", "/tmp", "tmpfs", data="mode=1777,size=16m,nr_inodes=4000")
    mount("tmpfs", "/var/tmp", "tmpfs", data="mode=1777,size=16m")
    mount("tmpfs", "/dev/shm", "tmpfs", data="mode=1777,size=16m")
    mount("tmpfs", "/run", "tmpfs", data="mode=755,size=16m")
    for path, fd in ours.items():
        if not os.path.exists(path):
            os.makedirs(path)
            mount(f"/proc/self/fd/{fd}", path, flags=_BIND)
        os.close(fd)
    mount("devpts", "/dev/pts", "devpts", data="newinstance,ptmxmode=0666,mode=620,gid=5,max=16")
    # What an administrator has mounted to be read only.
    os.makedirs("/srv/read-only", exist_ok=True)
    mount("/srv/read-only", "/srv/read-only", flags=_BIND)
    mount("none", "/srv/read-only", flags=_REMOUNT_READ_ONLY)
    mount("none", "/", flags=_REC | _SHARED)
    interface = struct.pack("16sH14x", b"lo", 1)  # IFF_UP
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, interface)  # SIOCSIFFLAGS
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:  # no pid of the stage's is one of a sandbox's
        file.write("5000")


def main(srv: str) -> None:
    checked(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    checked(libc.unshare(_NAMESPACES), "unshare")
    told, tell = os.pipe()
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os.write(tell, b"x")
        os.waitpid(pid, 0)
        return
    os.read(told, 1)  # its line comes first
    checked(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    furnish(srv)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        signal.pause()


main(sys.argv[1])
