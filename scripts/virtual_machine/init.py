"""The inside: make the machine a place to run the command in, run it, say how it ended, switch off."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import socket
import struct
import sys
import termios
import traceback
import tty
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[2]))
from sandbox.syscalls import mount, sethostname

_libc = ctypes.CDLL(None, use_errno=True)

_SYS_PIVOT_ROOT, _SYS_FINIT_MODULE = 155, 313  # x86-64, the only machine there is this kernel for
_MNT_DETACH = 2
_RB_POWER_OFF = 0x4321FEDC
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def main() -> NoReturn:
    try:
        order = json.loads(Path(sys.argv[1]).read_text())
        _leave_hosts_root()
        _mount_all()
        _set_lo_up()
        sethostname("vm")
        _tell(_run(order))
    except BaseException:
        traceback.print_exc()  # on the kernel's console
    os.sync()
    _libc.reboot(_RB_POWER_OFF)
    raise AssertionError("switched off")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _leave_hosts_root() -> None:
    """Make the root a layer of memory over the host's files, which are only read."""
    module = f"/usr/lib/uml/modules/{platform.release()}/kernel/fs/overlayfs/overlay.ko"
    with open(module, "rb") as file:
        _check(_libc.syscall(_SYS_FINIT_MODULE, file.fileno(), b"", 0), module)
    mount("tmpfs", "/mnt", "tmpfs", data="size=60%")
    for name in ("upper", "work", "root"):
        os.mkdir(f"/mnt/{name}")
    mount("overlay", "/mnt/root", "overlay", data="lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work")
    os.chdir("/mnt/root")
    _check(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), "pivot_root")  # the old root is now on top of the new
    _check(_libc.umount2(b".", _MNT_DETACH), "umount the old root")
    os.chdir("/")


def _mount_all() -> None:
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")
    mount("devtmpfs", "/dev", "devtmpfs")
    for directory, fstype in (("/dev/pts", "devpts"), ("/dev/shm", "tmpfs"), ("/run", "tmpfs"), ("/var/tmp", "tmpfs")):
        os.makedirs(directory, exist_ok=True)
        mount(fstype, directory, fstype)
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", data="nsdelegate,memory_recursiveprot")


def _set_lo_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))


def _console(number: int) -> int:
    fd = os.open(f"/dev/tty{number}", os.O_WRONLY | os.O_NOCTTY)
    tty.setraw(fd)
    return fd


def _run(order: dict[str, Any]) -> int:
    """The command's exit status, or 128 and its signal. Orphans that come to us are let go meanwhile."""
    out, err = _console(1), _console(2)
    child = os.fork()
    if not child:
        _become(order, out, err)
    while True:
        pid, status = os.wait()
        if pid == child:
            break
    for fd in (out, err):
        termios.tcdrain(fd)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(order: dict[str, Any], out: int, err: int) -> NoReturn:
    try:
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(order["cwd"])
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        os.write(2, f"vm: cannot execute {order['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _tell(status: int) -> None:
    console = _console(3)
    os.write(console, f"{status}\n".encode())
    termios.tcdrain(console)


main()
