"""Loop image: an ext4 file system in a sparse file, mounted on the directory. It is as large as the limit, no more.

It is mounted in the namespace of who calls, so that operators and observers see the task's files where they always
are. There is no journal: it would write everything twice, in a file system that has one itself. After a power cut
`again` lets e2fsck see to it.

At the end the files come out of the image into the directory under the mount. Until they are all there and on the
disk the image is the truth and stays mounted; then it goes. So there is no instant at which a path of the task shows
nothing, or half of it, and whoever dies in between has lost nothing: the record says how far it came.

An image is no reservation: where the disk below it is full, writes in it fail with EIO. And what was removed in it
stays allocated in the image until it is used again: mounted with `discard` every unlink would wait for the file below.
"""

from __future__ import annotations

import os
import stat
import subprocess
import time

from sandbox import durable, syscalls
from sandbox.disk import calls
from sandbox.disk.records import COPIED, COPYING, KEPT, MAKING
from sandbox.disk.usage import usage

from .kind import BLOCK, CannotLimit, Figure, Kind, in_blocks, open_directory, reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.disk.usage import Disk

_GROUP = 128 << 20  # bytes of a block group of ext4 with such blocks
_INODE = 256
_SPARE_INODES = 16  # its own, and one for each rounding

#: Bytes for each inode, where no number of files is asked for: the default of mke2fs.
_RATIO = 16384

#: Smaller ones mke2fs makes with blocks of another size, or not at all.
_LEAST = 1 << 20

#: Looks, a twentieth of a second apart, at whether the loop device of what was unmounted is gone.
_LETS_GO = 20

_FLAGS = syscalls.MS_NOSUID | syscalls.MS_NODEV
#: The block of the uppermost directory, which is there before anything is in it.
_UPPERMOST = 1

_PROGRAMS = "/usr/sbin:/sbin:/usr/bin:/bin"


# -- begin


def _begin(disk: Disk, place: str, note: Callable[[], None]) -> None:
    if os.geteuid():
        raise CannotLimit("a loop device takes root", "run it as root")
    if disk["limit"] < _LEAST:
        raise CannotLimit(f"an image of less than {_LEAST} bytes makes no sense", "ask for more")
    if not os.path.exists("/dev/loop-control"):
        raise CannotLimit("there is no /dev/loop-control", "modprobe loop")
    _program("mkfs.ext4")
    fd = open_directory(disk["directory"])
    try:
        if os.listdir(fd):
            raise CannotLimit(
                f"{disk['directory']} is not empty: a mount would hide its files", "take an empty directory"
            )
        if _is_mount(disk["directory"]):
            raise CannotLimit(f"{disk['directory']} is a mount itself", "take a directory in it")
        disk["limit"] = in_blocks(disk["limit"])
        identity = os.urandom(16)
        disk["uuid"] = "-".join(identity[at:to].hex() for at, to in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 16)))
        # What ext4 makes of it for statvfs: to be recognized by who reads the figure, whatever device it is on.
        halves = (int.from_bytes(identity[at : at + 8], "little") for at in (0, 8))
        disk["fsid"] = next(halves) ^ next(halves)
        note()
        _make(disk, f"{place}/image")
        _mount(disk, f"{place}/image", fd)
        _furnish(disk, os.fstat(fd))
    finally:
        os.close(fd)


def _is_mount(directory: str) -> bool:
    """Also where the same file system is mounted on itself, which device numbers do not show."""
    with open("/proc/self/mountinfo", "rb") as file:
        points = {line.split()[4] for line in file}
    quoted = os.fsencode(directory).replace(b"\\", b"\\134").replace(b" ", b"\\040")
    return quoted.replace(b"\t", b"\\011").replace(b"\n", b"\\012") in points


def _program(name: str) -> str:
    for directory in _PROGRAMS.split(":"):
        if os.access(f"{directory}/{name}", os.X_OK):
            return f"{directory}/{name}"
    raise CannotLimit(f"there is no {name}", "apt-get install e2fsprogs")


def _make(disk: Disk, image: str) -> None:
    limit, files = disk["limit"], disk["files"]
    inodes = (max(limit // _RATIO, 64) if files is None else files) + _SPARE_INODES
    fd = os.open(image, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, _size(limit, inodes))
    finally:
        os.close(fd)
    _run(
        _program("mkfs.ext4"), "-q", "-F", "-b", str(BLOCK), "-I", str(_INODE), "-N", str(inodes), "-m", "0",
        "-O", "^has_journal,^resize_inode", "-U", disk.get("uuid", "random"), image,
    )  # fmt: skip


def _size(limit: int, inodes: int) -> int:
    """Bytes of an image in which `limit` is left for files, and some more, which `_furnish` takes back.

    Inodes; for each group two bitmaps, perhaps a copy of the superblock and of the table of groups; and what the kernel
    keeps for its own in emergencies, a fiftieth and at most 4096 blocks (ext4_calculate_resv_clusters).
    """
    groups = limit // _GROUP + 2
    table = groups * 64 // BLOCK + 1
    own = inodes * _INODE * 9 // 8 + groups * BLOCK * (3 + table)
    kept = min(limit // 50 + BLOCK, 4096 * BLOCK)
    return in_blocks(limit + own + kept + 64 * BLOCK)


def _mount(disk: Disk, image: str, directory: int) -> None:
    """On an open directory, which nobody can exchange for another meanwhile."""
    fd = os.open(image, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        number, device = calls.attach(fd, image)
    finally:
        os.close(fd)
    try:
        syscalls.mount(f"/dev/loop{number}", f"/proc/self/fd/{directory}", "ext4", _FLAGS)
    finally:
        os.close(device)  # from now on it is there for as long as the mount
    _hold_exactly(disk, number)


def _hold_exactly(disk: Disk, number: int) -> None:
    """The blocks there are too many become the kernel's own emergency reserve: the limit is then met to the block.

    It binds root as well. Where /sys cannot be written, the limit is some per cent off.
    """
    blocks = os.statvfs(disk["directory"]).f_blocks
    try:
        with open(f"/sys/fs/ext4/loop{number}/reserved_clusters", "w", encoding="ascii") as file:
            file.write(str(max(0, blocks - _UPPERMOST - disk["limit"] // BLOCK)))
    except OSError:
        pass


def _furnish(disk: Disk, before: os.stat_result) -> None:
    """As the directory was: its owner, its mode; and empty."""
    root = open_directory(disk["directory"])
    try:
        if os.fstatvfs(root).f_fsid != disk.get("fsid"):
            raise CannotLimit(f"{disk['directory']} was exchanged for another directory meanwhile")
        os.rmdir("lost+found", dir_fd=root)
        os.fchmod(root, stat.S_IMODE(before.st_mode))
        os.fchown(root, before.st_uid, before.st_gid)
    finally:
        os.close(root)


# -- again, after a reboot


def _again(disk: Disk, place: str, stage: str) -> None:
    if stage == COPIED:
        raise CannotLimit(f"{disk['directory']} was given back already")
    image = f"{place}/image"
    if stage == COPYING:  # it was copied out in part: what is removed from now on must not come back with that
        fd = _below(disk["directory"])
        try:
            _clear(fd)
        finally:
            os.close(fd)
    if _mounted(disk):
        if stage in (COPYING, KEPT):
            syscalls.mount(None, disk["directory"], None, _FLAGS | syscalls.MS_REMOUNT)
        return
    if not os.path.exists(image):
        raise CannotLimit(f"there is no {image} any more: it held the files of {disk['directory']}")
    user = _user_of(image)
    for _ in range(_LETS_GO):  # the kernel lets go of an image some time after it was unmounted
        if not user:
            break
        time.sleep(0.05)
        user = _user_of(image)
    if user:
        raise CannotLimit(f"{image} is in use by {user}, and mounted elsewhere", "do it in that mount namespace")
    fd = open_directory(disk["directory"])
    try:
        _see_to(image)
        _mount(disk, image, fd)
    finally:
        os.close(fd)


def _below(directory: str) -> int:
    """A descriptor of what is under the mount: in a copy of the mount above, what is mounted below that is not."""
    seen = os.open(os.path.dirname(directory), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        above = syscalls.clone_tree(seen, recursive=False)
    finally:
        os.close(seen)
    try:
        return os.open(os.path.basename(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    finally:
        os.close(above)


def _user_of(image: str) -> str:
    """The loop device an image is behind; "": none. Mounted twice it would be ruined."""
    wanted = os.stat(image)
    for name in os.listdir("/sys/block"):
        if not os.path.isdir(f"/sys/block/{name}/loop"):
            continue
        try:
            device = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if calls.attached(device) == (wanted.st_dev, wanted.st_ino):
                return name
        except OSError:
            pass
        finally:
            os.close(device)
    return ""


def _see_to(image: str) -> None:
    """After a power cut; a moment where it was unmounted. First what is safe, then the rest: there is no other copy."""
    for how in ("-p", "-y"):
        done = subprocess.run(
            [_program("e2fsck"), how, image], capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode & ~3 == 0:  # 1 and 2: errors were corrected
            return
    raise CannotLimit(f"e2fsck cannot mend {image}: exit status {done.returncode}", f"e2fsck -f {image}")


def _mounted(disk: Disk) -> bool:
    try:
        return os.statvfs(disk["directory"]).f_fsid == disk.get("fsid")
    except OSError:
        return False


# -- end


def _end(disk: Disk, place: str, stage: str, note: Callable[[str], None]) -> str:
    directory, image = disk["directory"], f"{place}/image"
    if stage not in (MAKING, COPIED) and os.path.exists(image) and os.path.isdir(directory):
        try:
            why = _bring_out(disk, place, stage, note)
        except CannotLimit as error:
            why = str(error)
        if why:
            note(KEPT)
            return f"the files of {directory} stay in {image}: {why}"
    _unmount(disk)
    if os.path.exists(image):
        os.unlink(image)
    return ""


def _bring_out(disk: Disk, place: str, stage: str, note: Callable[[str], None]) -> str:
    """Copy the files from the image into the directory under it. "": done; else why not, and then nothing is there."""
    directory = disk["directory"]
    if not _mounted(disk):
        _again(disk, place, stage)
    try:
        syscalls.mount(None, directory, None, _FLAGS | syscalls.MS_REMOUNT | syscalls.MS_RDONLY)
    except OSError:
        pass  # EBUSY: somebody still writes; what they write from now on may be lost
    target = _below(directory)
    try:
        ours = stage == COPYING or not os.listdir(target)
        if stage == COPYING:
            _clear(target)
        note(COPYING)
        why = _copy(directory, target)
        if not why:
            durable.write_back(target)
            note(COPIED)
        elif ours:
            _clear(target)
        return why
    finally:
        os.close(target)


def _copy(directory: str, target: int) -> str:
    seen, room = os.statvfs(directory), os.fstatvfs(target)
    needed, there = (seen.f_blocks - seen.f_bfree) * seen.f_frsize, room.f_bavail * room.f_frsize
    if needed > there:
        return f"copying them out takes {needed} bytes, and there is room for {there}"
    done = subprocess.run(
        ["cp", "-a", "-x", "-T", "--sparse=auto", "--remove-destination", ".", f"/proc/self/fd/{target}/."],
        cwd=directory,
        pass_fds=(target,),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={"PATH": _PROGRAMS, "LC_ALL": "C"},
    )
    return "" if done.returncode == 0 else f"copying them out failed: {done.stderr.strip().splitlines()[0]}"


def _clear(directory: int) -> None:
    import shutil  # 5 ms, and seldom needed

    for name in os.listdir(directory):
        if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=directory)
        else:
            os.unlink(name, dir_fd=directory)


def _unmount(disk: Disk) -> None:
    """Who has a file of it open keeps the file, and with it the loop device, until they close it.

    So does a mount namespace made while it was mounted, if ours does not hand on what is unmounted to it.
    """
    while _mounted(disk):
        try:
            syscalls.umount(disk["directory"], syscalls.UMOUNT_NOFOLLOW)
        except OSError:
            syscalls.umount(disk["directory"], syscalls.UMOUNT_NOFOLLOW | syscalls.MNT_DETACH)


def _run(*command: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        why = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise CannotLimit(f"{os.path.basename(command[0])} failed: {why}")


# -- watch


class _Watch:
    """The kernel says when something is written in this file system (fanotify), and only then is there a look at it.

    Then not again for a while, however much is written: a look is one statvfs (3 us), so a writing task costs four
    wake-ups a second and an idle one none. Each write takes 0.6 us longer. What is written through a mapping is noticed
    when the file is closed; the limit holds for that too, by SIGBUS.
    """

    _BETWEEN = 0.25  # seconds
    #: Where fanotify is not to be had (a kernel before 5.1, or without it), each look costs a wake-up without need.
    _UNTOLD = 2.0

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        try:
            self.fd = calls.changes(disk["directory"])
        except OSError:
            self.fd = -1

    def look(self) -> Figure:
        used = usage(self._disk)
        if used is None:
            raise OSError(f"{self._disk['directory']} is not mounted")
        return Figure(used.bytes, used.files, reached(used.bytes, used.limit, used.files, used.files_limit))

    def rest(self, figure: Figure) -> float:
        return self._UNTOLD if self.fd < 0 else self._BETWEEN

    def heard(self) -> None:
        try:
            while os.read(self.fd, 1 << 16):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


ROW = Kind("loop", True, _begin, _again, _end, _Watch)
