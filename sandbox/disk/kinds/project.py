"""Project quota: the file system itself counts what is made below a directory, and refuses what is too much.

A project is a number that a directory hands on to whatever is made in it; a number is taken from RANGE when the kernel
counts nothing for it. So the kernel is the register of numbers, and a number whose files are still there (a task
that is over, say) is never given to anybody else. The record says whose it was.

The owner of a file may give it another number, outside of user namespaces. Where this limit is to hold against a
hostile program a seccomp filter has to refuse the calls that do it, as `sandbox.seccomp.default` does.
"""

from __future__ import annotations

import errno
import os

from sandbox.disk import calls, quota_warnings
from sandbox.disk.records import ENDED

from .kind import NEAR, CannotLimit, Figure, Kind, in_blocks, open_directory, reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.disk.usage import Disk

#: Numbers that are ours, far from those that people write into /etc/projid.
RANGE = range(0x54000000, 0x54100000)

#: The directory belongs to its project as well.
_ITSELF = 1

_TRIES = 20

_REMEDY = (
    "unmount it, tune2fs -O quota,project -Q prjquota DEVICE, and mount it with -o prjquota (XFS: only the option)"
)


def _begin(disk: Disk, place: str, note: Callable[[], None]) -> None:
    if os.geteuid():
        raise CannotLimit("a quota is set by root", "run it as root")
    fd = open_directory(disk["directory"])
    try:
        _check(fd, disk["directory"])
        disk["limit"] = in_blocks(disk["limit"])
        disk["was"] = calls.project_of(fd)
        for _ in range(_TRIES):
            number = RANGE[int.from_bytes(os.urandom(4), "little") % len(RANGE)]
            known = calls.quota(fd, number)
            if known.files or known.bytes or known.most_bytes or known.most_files:
                continue
            disk["project"] = number
            note()
            calls.set_project(fd, number)
            # Somebody with other records may have chosen the same: first set, then look, and one of two sees it.
            if calls.quota(fd, number).files == 1:
                _set(fd, number, disk)
                return
            calls.set_project(fd, disk["was"])
        raise CannotLimit(f"of {_TRIES} project numbers none was free", "remove tasks that are over")
    finally:
        os.close(fd)


def _set(fd: int, project: int, disk: Disk) -> None:
    files = disk["files"]
    calls.set_quota(fd, project, disk["limit"], 0 if files is None else files + _ITSELF)


def _check(fd: int, directory: str) -> None:
    try:
        enforced = calls.quotas_enforced(fd)
        project = calls.project_of(fd)
    except OSError as error:
        why = f"the file system of {directory} has no project quotas ({error.strerror})"
        raise CannotLimit(why, _REMEDY) from None
    if not enforced:
        raise CannotLimit(f"the file system of {directory} does not hold to project quotas", _REMEDY)
    if project and project not in RANGE:
        raise CannotLimit(f"{directory} belongs to project {project} of somebody else", "take another directory")
    if project and calls.quota(fd, project).most_bytes:
        raise CannotLimit(f"{directory} has a limit already, as project {project}", "take another directory")
    if os.listdir(fd):
        raise CannotLimit(f"{directory} is not empty, and what is in it would not count", "take an empty directory")


def _again(disk: Disk, place: str, stage: str) -> None:
    fd = open_directory(disk["directory"])
    try:
        if "project" not in disk or calls.project_of(fd) != disk["project"]:
            raise CannotLimit(f"{disk['directory']} does not belong to its project any more")
        if not calls.quotas_enforced(fd):
            raise CannotLimit(f"the file system of {disk['directory']} holds to project quotas no more", _REMEDY)
        _set(fd, disk["project"], disk)
    except OSError as error:
        raise CannotLimit(f"the quota of {disk['directory']} cannot be set: {error.strerror}", _REMEDY) from None
    finally:
        os.close(fd)


def _end(disk: Disk, place: str, stage: str, note: Callable[[str], None]) -> str:
    """The limit goes, the number stays with the files: giving it back would take a walk over all of them."""
    number = disk.get("project", 0)
    try:
        fd = open_directory(disk["directory"])
    except FileNotFoundError:
        return _end_of_removed(disk, number, note)
    try:
        ours = calls.project_of(fd) == number
        if ours and not os.listdir(fd):
            calls.set_project(fd, 0)
        calls.set_quota(fd, number, 0, 0)
        left = calls.quota(fd, number).files
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.ESRCH, errno.EOPNOTSUPP, errno.ENOSYS):
            return ""  # another file system is there now, or it has no quotas any more
        raise
    finally:
        os.close(fd)
    if left:
        note(ENDED)
    return ""


def _end_of_removed(disk: Disk, number: int, note: Callable[[str], None]) -> str:
    """Its directory was removed: what is above it is of the same file system, or the number is of no use to anybody."""
    above = os.path.dirname(disk["directory"])
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    fd = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        calls.set_quota(fd, number, 0, 0)
        left = calls.quota(fd, number).files
        if left:
            note(ENDED)  # they were moved elsewhere
    except OSError:
        pass
    finally:
        os.close(fd)
    return ""


class _Watch:
    """The kernel says on a netlink socket when it has refused something, or let pass what it may not refuse.

    Nothing is looked at meanwhile: a figure costs whoever wants it one system call, see `usage`. Only where the
    kernel does not tell (CONFIG_QUOTA_NETLINK_INTERFACE is off, or this is not the first network namespace) is it
    asked, and seldom while there is much room.
    """

    _FAR, _NEAR = 5.0, 1.0  # seconds

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._directory = os.open(disk["directory"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._device = os.fstat(self._directory).st_dev
        self._project = disk.get("project", 0)
        self._refused = ""
        self._socket = quota_warnings.listen()
        self.fd = -1 if self._socket is None else self._socket.fileno()

    def look(self) -> Figure:
        known = calls.quota(self._directory, self._project)
        limit, files = self._disk["limit"], self._disk["files"]
        held = known.files - _ITSELF
        return Figure(known.bytes, held, self._refused or reached(known.bytes, limit, held, files))

    def rest(self, figure: Figure) -> float:
        if self._socket is not None:
            return 0.0
        return self._NEAR if figure.bytes >= NEAR * self._disk["limit"] else self._FAR

    def heard(self) -> None:
        assert self._socket is not None
        for device, project, what in quota_warnings.read(self._socket):
            if (device, project) == (self._device, self._project):
                limit = f"{self._disk['limit']} bytes" if what == "bytes" else f"{self._disk['files']} files"
                self._refused = f"a write was refused: it may hold {limit}"

    def close(self) -> None:
        os.close(self._directory)
        if self._socket is not None:
            self._socket.close()


ROW = Kind("project", True, _begin, _again, _end, _Watch)
