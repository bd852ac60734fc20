"""Carry out the steps of a plan (see `sandbox.ops`), in the first process of a sandbox. It alone imports this.

A target is resolved once, inside the sandbox's root, to a descriptor; what is mounted is mounted there. So no symbolic
link leads elsewhere, not even one that is laid in the meantime.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import stat
import struct

from . import ops, syscalls
from .cgroups.kernel import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .ops import Op

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_IFREQ = struct.Struct("16sH22x")

_HERE = -100  # AT_FDCWD
#: Of an image neither device nodes nor set-user-ID programs mean anything.
_OF_A_ROOT = ops.NOSUID | ops.NODEV
_READ_ONLY_EMPTY = "mode=0555,nr_inodes=1"
#: Links that lead to nothing, one to the next, and directories in each other that one of them names.
_LINKS, _DEPTH = 8, 64


def carry_out(steps: Sequence[Op], held: dict[str, int], begin: Callable[[str], None]) -> None:
    """Every step in its turn; `begin` is told the part before. `held`: what was taken for it. Raises OSError."""
    site = _Site(held)
    steps = _leave_at_once(steps)
    for _, part, step, arguments in steps:
        begin(part)
        _STEPS[step](site, *arguments)


def _leave_at_once(steps: Sequence[Op]) -> Sequence[Op]:
    """One system call for all the namespaces; where it fails, one for each says for which."""
    flags = [op[3][0] for op in steps if op[2] == "unshare"]
    together = 0
    for flag in flags:
        assert isinstance(flag, int)
        together |= flag
    leading = [op for op in steps if op[2] in ("unshare", "become_root")]
    if len(flags) < 2 or list(steps[: len(leading)]) != leading:
        return steps
    try:
        syscalls.unshare(together)
    except OSError:
        return steps
    return [op for op in steps if op[2] != "unshare"]


def take(path: str, recursive: bool) -> int:
    """A copy of what is at a path of the host's, held by a descriptor."""
    fd = syscalls.openat2(_HERE, path, os.O_PATH, syscalls.RESOLVE_NO_MAGICLINKS)
    try:
        return syscalls.clone_tree(fd, recursive)
    except OSError as error:
        raise OSError(error.errno, _why_not_taken(error.errno, recursive), path) from None
    finally:
        os.close(fd)


def _why_not_taken(number: int | None, recursive: bool) -> str:
    if number == errno.EINVAL and not recursive:
        return "without what is mounted below it cannot be seen here: ask for it recursively"
    return os.strerror(number or 0)


class _Site:
    """What is being furnished: its root, and what is held until it has its place."""

    __slots__ = ("_fresh", "_hosts", "_own", "_root", "held")

    def __init__(self, held: dict[str, int]) -> None:
        self.held = held
        self._hosts: list[str] | None = None  # where the host had mounted something, once somebody asked
        self._root = -1
        self._own: set[int] = set()  # ids of mounts in which what is missing is made
        self._fresh: set[tuple[int, int]] = set()  # directories in memory: device and inode of each

    @property
    def root(self) -> int:
        if self._root < 0:
            self._root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self._root

    @root.setter
    def root(self, fd: int) -> None:
        self._root = fd
        self._own.add(_mount_id(fd))
        self._hosts = []  # gone with the old root

    def leave_root(self) -> None:
        """It is not the root any more."""
        os.close(self._root)
        self._root = -1

    def find(self, path: str) -> int:
        """A descriptor of what is at a path in the root. Raises OSError."""
        resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
        for _ in range(64):
            try:
                return syscalls.openat2(self.root, path, os.O_PATH, resolve)
            except BlockingIOError:
                continue  # EAGAIN: somebody moved a directory of this file system meanwhile
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)

    def find_or_make(self, path: str, as_directory: bool = True, links: int = 0) -> int:
        """What is at a path. What is missing is made; and where a link leads to nothing, as /etc/resolv.conf does in
        many roots, what it leads to. `links`: how many of those have led here."""
        try:
            return self.find(path)
        except FileNotFoundError:
            pass
        parent, _, name = path.rstrip("/").rpartition("/")
        inside = self.find_or_make(parent or "/", links=links)
        try:
            if _mount_id(inside) not in self._own:
                raise FileNotFoundError(
                    errno.ENOENT, "it is not there, and nothing is made in what is not its own", path
                )
            if as_directory:
                os.mkdir(name, 0o755, dir_fd=inside)
            else:
                os.mknod(name, 0o644 | stat.S_IFREG, dir_fd=inside)
        except FileExistsError:
            to = _leads_to(inside, name)
            if to:
                to = to if to.startswith("/") else f"{parent}/{to}"
                if links >= _LINKS or to.count("/") > _DEPTH:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                return self.find_or_make(to, as_directory, links + 1)
        finally:
            os.close(inside)
        return self.find(path)

    def let_go(self, path: str) -> None:
        """Unmount here what the host has mounted below a directory that is about to be covered."""
        if self._hosts is None:
            self._hosts = [mounted for _, _, mounted, _ in _mounts()]
        for mounted in reversed(self._hosts):  # the latest lies above
            if mounted.startswith(path.rstrip("/") + "/"):
                try:
                    syscalls.umount(mounted, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
                except OSError:
                    pass  # it went with another; or, in a user namespace, is locked, or nowhere that we may go

    def mount(self, fstype: str, target: int, path: str, flags: int, data: str) -> None:
        """A fresh file system at a descriptor, by way of the working directory: a path could lead elsewhere by now.

        Consumes the descriptor."""
        os.fchdir(target)
        try:
            syscalls.mount(fstype, ".", fstype, flags, data or None)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(target)
            os.chdir("/")
        if fstype == "tmpfs" and not flags & ops.RDONLY:
            mounted = self.find(path)
            self._own.add(_mount_id(mounted))
            self._fresh.add(_which(mounted))
            os.close(mounted)

    def is_fresh(self, target: int) -> bool:
        """Whether a directory is one that we mounted in memory already."""
        return _which(target) in self._fresh


def _restrict(tree: int, attributes: int, recursive: bool = True) -> bool:
    """Give a mount, and those below, attributes. False: this kernel can do that only to one that is attached."""
    if not attributes:
        return True
    try:
        syscalls.mount_setattr(tree, attributes, recursive)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return False
    return True


def _restrict_attached(tree: int, attributes: int, recursive: bool) -> None:
    """The same before Linux 5.12, each mount by its path. `tree`: a descriptor of the uppermost."""
    wanted = _mount_id(tree)
    ids = {wanted}
    for number, parent, path, flags in _mounts():
        if number == wanted or (recursive and parent in ids):
            ids.add(number)
            syscalls.mount(None, path, None, syscalls.MS_REMOUNT | syscalls.MS_BIND | flags | attributes)


def _which(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _leads_to(directory: int, name: str) -> str:
    """Where a symbolic link leads, as it says; "": it is none."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return ""


def _mount_id(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}") as file:
        for line in file:
            if line.startswith("mnt_id:"):
                return int(line.split()[1])
    raise OSError(errno.ENOENT, "the kernel does not tell which mount it is in")


_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}


def _mounts() -> list[tuple[int, int, str, int]]:
    """(id, parent's id, path, flags) of every mount: proc(5), /proc/PID/mountinfo."""
    mounts: list[tuple[int, int, str, int]] = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            path = fields[4]
            for code in ("\\040", "\\011", "\\012", "\\134"):
                path = path.replace(code, chr(int(code[1:], 8)))
            flags = 0
            for option in fields[5].split(","):
                flags |= _FLAGS.get(option, 0)
            mounts.append((int(fields[0]), int(fields[1]), path, flags))
    return mounts


def _attach(tree: int, target: int, path: str, attributes: int, recursive: bool = True) -> None:
    """Consumes both descriptors."""
    try:
        done = _restrict(tree, attributes, recursive)
        syscalls.attach_tree(tree, target)
        if not done:
            _restrict_attached(tree, attributes, recursive)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(tree)
        os.close(target)


# -- steps


def _unshare(site: _Site, flags: int) -> None:
    syscalls.unshare(flags)


def _become_root(site: _Site) -> None:
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.set_dumpable()  # else /proc/self is the outer root's, and the clocks are there


def _sethostname(site: _Site, name: str) -> None:
    syscalls.sethostname(name)


def _set_clocks(site: _Site, monotonic: float, boottime: float) -> None:
    lines = ""
    for clock, offset in (("monotonic", monotonic), ("boottime", boottime)):
        seconds = int(offset // 1)
        lines += f"{clock} {seconds} {int((offset - seconds) * 1e9)}\n"
    write("/proc/self/timens_offsets", lines)


def _enter_time(site: _Site) -> None:
    fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY)
    syscalls.setns(fd, syscalls.CLONE_NEWTIME)
    os.close(fd)


def _loopback(site: _Site) -> None:
    socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        _, flags = _IFREQ.unpack(fcntl.ioctl(socket.fileno(), _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0)))
        fcntl.ioctl(socket.fileno(), _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags | _IFF_UP))
    finally:
        socket.close()


def _propagation(site: _Site, flags: int) -> None:
    # Who enters the namespace later is at its root, which need not be ours: we may be in a chroot.
    ours = _layer("/")
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(namespace, syscalls.CLONE_NEWNS)
    os.close(namespace)
    if not os.path.sameopenfile(ours, site.root) or _mount_id(ours) != _mount_id(site.root):
        syscalls.mount(None, "/", None, syscalls.MS_PRIVATE | syscalls.MS_REC)
        tree = syscalls.clone_tree(ours, True)
        syscalls.attach_tree(tree, ours)
        _become_root_directory(tree)
        site.leave_root()
    os.close(ours)
    syscalls.mount(None, "/", None, flags | syscalls.MS_REC)


def _take(site: _Site, name: str, path: str, recursive: bool) -> None:
    if name not in site.held:  # else with its ids mapped
        site.held[name] = take(path, recursive)


def _put(site: _Site, name: str, path: str, attributes: int) -> None:
    tree = site.held.pop(name)
    as_directory = stat.S_ISDIR(os.fstat(tree).st_mode)
    target = site.find_or_make(path, as_directory)
    if stat.S_ISDIR(os.fstat(target).st_mode) != as_directory:
        os.close(tree)
        os.close(target)
        if as_directory:
            raise OSError(errno.ENOTDIR, "a directory cannot be seen there: it is none itself", path)
        raise OSError(errno.EISDIR, "what is no directory cannot be seen there: it is one itself", path)
    _attach(tree, target, path, attributes)


def _filesystem(site: _Site, fstype: str, path: str, flags: int, data: str) -> None:
    if fstype == "tmpfs":
        site.let_go(path)
    target = site.find_or_make(path)
    if fstype == "tmpfs" and site.is_fresh(target):  # /var/tmp is a link to /tmp, in which things have their place now
        os.close(target)
        return
    site.mount(fstype, target, path, flags, data)


def _cover(site: _Site, path: str) -> None:
    try:
        target = site.find(path)
    except FileNotFoundError:
        return
    site.let_go(path)
    site.mount("tmpfs", target, path, ops.NOSUID | ops.NODEV | ops.NOEXEC, "mode=0755")


def _seal(site: _Site, path: str) -> None:
    try:
        target = site.find(path)
    except FileNotFoundError:
        return
    if not _restrict(target, ops.RDONLY, recursive=False):
        _restrict_attached(target, ops.RDONLY, recursive=False)
    os.close(target)


def _overlay(
    site: _Site, lower: Sequence[str], upper: str | None, work: str | None, size: int | None, user: bool
) -> None:
    # By descriptor: a page holds the names of hundreds of layers then, whatever characters are in their paths, and
    # nobody inside can read in /proc/self/mountinfo where the host keeps them.
    mapped = any(name.startswith("root ") for name in site.held)
    changes = () if upper is None or work is None else (upper, work)
    fds = {path: _layer(path) for path in (*lower, *changes) if not _held(site, path)}
    # A directory that is there: nobody outside sees what is mounted over it here.
    top = lower[0] if lower[0] in fds else "/tmp"
    if mapped or not changes:
        data = "mode=0755" if size is None else f"mode=0755,size={size}"
        syscalls.mount("tmpfs", top, "tmpfs", ops.NOSUID | ops.NODEV, data)
        for name in ("upper", "work", "root"):
            os.mkdir(f"{top}/{name}", 0o755)
        for path in (*lower, *changes):
            if path not in fds:
                fds[path] = _attached(site, top, path)
        if not changes:
            changes = (f"{top}/upper", f"{top}/work")
            fds |= {path: _layer(path) for path in changes}
        top += "/root"
    names = [f"/proc/self/fd/{fds[path]}" for path in (*lower, *changes)]
    data = f"lowerdir={':'.join(names[:-2])},upperdir={names[-2]},workdir={names[-1]}"
    if user:
        data += ",userxattr"  # a user namespace's root may write no trusted.*
    try:
        syscalls.mount("overlay", top, "overlay", _OF_A_ROOT, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, lower[0]) from None
    for fd in fds.values():
        os.close(fd)
    site.root = _layer(top)
    _search(site, lower[0])


def _held(site: _Site, path: str) -> tuple[int, str] | None:
    """A layer that was taken with its ids mapped: what is held, and where in it the layer is."""
    for directory, below in ((path, "."), os.path.split(path)):  # upper and work in the directory that both are in
        tree = site.held.get(f"root {directory}")
        if tree is not None:
            return tree, below
    return None


def _attached(site: _Site, staging: str, path: str) -> int:
    """An overlay takes only what is attached: below `staging`."""
    held = _held(site, path)
    assert held is not None
    tree, below = held
    at = f"{staging}/{tree}"
    if not os.path.isdir(at):
        os.mkdir(at)
        target = _layer(at)
        syscalls.attach_tree(tree, target)
        os.close(target)
    return _layer(f"{at}/{below}")


def _layer(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _directory(site: _Site, path: str) -> None:
    tree = site.held.pop(f"root {path}", -1)
    at = path
    if tree >= 0 and not os.access(path, os.X_OK):  # root inside need not get there, and needs no more than this
        at = "/tmp"
    _attach(take(path, True) if tree < 0 else tree, _layer(at), path, _OF_A_ROOT)
    site.root = _layer(at)
    _search(site, path)


def _search(site: _Site, path: str) -> None:
    """What may not be searched can be mounted, and is no root: all that is put into it would fail, one by one.

    Below changes a look at the root itself shows those: only a look for something in it asks the layers."""
    try:
        os.close(site.find("/proc"))
    except PermissionError as error:
        raise OSError(error.errno, error.strerror, path) from None
    except OSError:
        pass  # it is made, or said when it is its turn


def _read_only(site: _Site, recursive: bool, attributes: int) -> None:
    if not _restrict(site.root, attributes, recursive):
        _restrict_attached(site.root, ops.RDONLY, recursive)  # no more: `_devices` could not undo it


def _pivot(site: _Site) -> None:
    _become_root_directory(site.root)


def _become_root_directory(fd: int) -> None:
    os.fchdir(fd)
    syscalls.pivot_root_here()
    syscalls.umount(".", syscalls.MNT_DETACH)  # the old root, which lies over the new one
    os.chdir("/")


def _devices(site: _Site, devices: Sequence[tuple[str, int, int]], links: Sequence[tuple[str, str]]) -> None:
    hosts = _layer("/dev")
    site.mount("tmpfs", site.find_or_make("/dev"), "/dev", ops.NOSUID | ops.NOEXEC, "mode=0755,size=64k")
    fresh = site.find("/dev")
    mask = os.umask(0)
    for name, major, minor in devices:
        try:
            os.mknod(name, 0o666 | stat.S_IFCHR, os.makedev(major, minor), dir_fd=fresh)
        except PermissionError:  # in a user namespace, or under a device cgroup
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=fresh))
            own = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=hosts)
            tree = syscalls.clone_tree(own, False)
            os.close(own)
            try:
                syscalls.mount_setattr(tree, 0, False, clear=ops.NODEV)  # which all of the host's may have by now
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
            _attach(tree, os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=fresh), f"/dev/{name}", ops.RDONLY)
    os.umask(mask)
    for name, to in links:
        os.symlink(to, name, dir_fd=fresh)
    os.close(fresh)
    os.close(hosts)


def _mask(site: _Site, path: str) -> None:
    try:
        target = site.find(path)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(os.fstat(target).st_mode):
        site.mount("tmpfs", target, path, ops.RDONLY | ops.NOSUID | ops.NODEV | ops.NOEXEC, _READ_ONLY_EMPTY)
    else:
        # Of a root of its own this may be the host's: a device is written all the same, but its owner and mode are not.
        _attach(take("/dev/null", False), target, path, ops.RDONLY | ops.NOSUID | ops.NOEXEC)


def _freeze(site: _Site, path: str) -> None:
    try:
        target = site.find(path)
    except FileNotFoundError:
        return
    _attach(syscalls.clone_tree(target, True), target, path, ops.RDONLY)


_STEPS: dict[str, Callable[..., None]] = {
    "unshare": _unshare,
    "become_root": _become_root,
    "sethostname": _sethostname,
    "set_clocks": _set_clocks,
    "enter_time": _enter_time,
    "loopback": _loopback,
    "propagation": _propagation,
    "take": _take,
    "put": _put,
    "filesystem": _filesystem,
    "cover": _cover,
    "seal": _seal,
    "overlay": _overlay,
    "directory": _directory,
    "read_only": _read_only,
    "pivot": _pivot,
    "devices": _devices,
    "mask": _mask,
    "freeze": _freeze,
}
