"""Writes the entries of an archive below a directory, and nothing anywhere else.

Each directory is opened below the one it is in, without following links, and every entry is made in a directory that
was opened so: no name, no link and no order of entries leads out. Nothing is resolved twice, so nothing can be swapped
in between. Until all is written, directories are the writer's alone; then they get what the archive says of them.

    archive                    here
    file, directory, links     the same
    .wh.NAME                   NAME, a character device 0:0: overlayfs hides what has that name further down
    .wh..wh..opq               an extended attribute of the directory: overlayfs shows nothing of it from further down
    device, FIFO               left out: /dev is the sandbox's matter, and any other device is a way out of it
    set-uid and set-gid files  without these bits; so without capabilities and any other extended attribute too

Only the archive of a layer has such marks; in any other, `.wh.NAME` is a name like others.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from .image import Flaw, explain, shown
from .tar import Archive, Entry, Spent, Type, components

_MARK = b".wh."
_OPAQUE = b".wh..wh..opq"
_RESERVED = b".wh..wh."  # what aufs kept for itself, as its directory of hard links
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOREIGN = (errno.EINVAL, errno.EPERM)  # chown(2): an id that the user namespace has not; no CAP_CHOWN
_UNLISTED = 0o755

#: What says that a directory is opaque. A mount by root reads the first, one with `userxattr`, as the root of a user
#: namespace has to make it, the second. Root writes both, as its layers may be mounted either way.
TRUSTED = "trusted.overlay.opaque"
USER = "user.overlay.opaque"


@dataclass(frozen=True)
class Unpacked:
    """`opaque`: nothing of the layers below is to be seen. `notes`: sentences about what was left out or changed."""

    entries: int
    bytes: int
    opaque: bool
    notes: tuple[str, ...]


def unpack(archive: Archive, spent: Spent, root: int, *, marks: bool, owners: bool, trusted: bool) -> Unpacked:
    """Write an archive below the directory that `root` is open on, which must be empty and nobody else's to write in.

    `marks`: it is a layer. `owners`: files belong to whom the archive says, else to us. `trusted`: we may write
    trusted attributes. Raises Flaw.
    """
    entries, size = spent.entries, spent.bytes
    writer = _Writer(archive, spent, root, marks, owners, trusted)
    try:
        for entry in archive:
            try:
                writer.write(entry)
            except OSError as error:
                raise Flaw(f"{shown(entry.name)}: {_hint(error)}") from None
            except Flaw as flaw:
                raise Flaw(f"{shown(entry.name)}: {flaw}") from None
        writer.finish()
    finally:
        writer.close()
    return Unpacked(spent.entries - entries, spent.bytes - size, () in writer.opaque, writer.notes())


def _hint(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{explain(error)}: make room where the images are unpacked"
    return explain(error)


class _Notes:
    """Sentences, each with how many entries it is about and the first few of them."""

    _SHOWN = 5

    def __init__(self) -> None:
        self._of: dict[str, list[bytes]] = {}
        self._count: dict[str, int] = {}

    def add(self, what: str, name: bytes) -> None:
        names = self._of.setdefault(what, [])
        if len(names) < self._SHOWN:
            names.append(name)
        self._count[what] = self._count.get(what, 0) + 1

    def sentences(self) -> tuple[str, ...]:
        return tuple(
            f"{what}: {', '.join(shown(name, 80) for name in names)}"
            + (f" and {self._count[what] - len(names)} more" if self._count[what] > len(names) else "")
            for what, names in sorted(self._of.items())
        )


class _Said:
    """What the archive says about a directory; the latest word counts."""

    __slots__ = ("gid", "mode", "mtime", "uid")

    def __init__(self, entry: Entry) -> None:
        self.mode = entry.mode
        self.uid = entry.uid
        self.gid = entry.gid
        self.mtime = entry.mtime


class _Writer:
    def __init__(self, archive: Archive, spent: Spent, root: int, marks: bool, owners: bool, trusted: bool) -> None:
        self.opaque: set[tuple[bytes, ...]] = set()
        self._archive = archive
        self._spent = spent
        self._root = root
        self._marks = marks
        self._owners = owners
        self._trusted = trusted
        self._said: dict[tuple[bytes, ...], _Said] = {}
        self._notes = _Notes()
        #: Where the last entry was: most are beside the one before, and need no walk from the root.
        self._way: list[tuple[bytes, int]] = []

    def close(self) -> None:
        self._leave(0)

    def notes(self) -> tuple[str, ...]:
        return self._notes.sentences()

    def write(self, entry: Entry) -> None:
        if not entry.parts:
            if entry.type is not Type.DIRECTORY:
                raise Flaw("it is the root of the image, and no directory")
            self._said[()] = _Said(entry)
            return
        *above, name = entry.parts
        if self._marks:
            if any(part.startswith(_MARK) for part in above):
                raise Flaw("it lies in a directory whose name says that something is deleted")
            if name.startswith(_MARK):
                self._mark(tuple(above), name)
                return
        if entry.type in (Type.DEVICE, Type.FIFO):
            self._notes.add("left out, being devices or FIFOs", entry.name)
            return
        if entry.attributes:
            self._attributes(entry)
        directory = self._enter(tuple(above))
        if entry.type is Type.DIRECTORY:
            self._directory(directory, entry)
        elif entry.type is Type.FILE:
            self._file(directory, name, entry)
        elif entry.type is Type.SYMLINK:
            self._symlink(directory, name, entry)
        else:
            self._hardlink(directory, name, entry)

    def _attributes(self, entry: Entry) -> None:
        if "security.capability" in entry.attributes:
            self._notes.add("without the capabilities that the archive gives them", entry.name)
        if any(name != "security.capability" for name in entry.attributes):
            self._notes.add("without the extended attributes that the archive gives them", entry.name)

    # ---- ways

    def _leave(self, depth: int) -> None:
        while len(self._way) > depth:
            os.close(self._way.pop()[1])

    def _enter(self, path: tuple[bytes, ...]) -> int:
        """The directory at `path`. What is not there is made."""
        same = 0
        while same < min(len(path), len(self._way)) and self._way[same][0] == path[same]:
            same += 1
        self._leave(same)
        for depth in range(same, len(path)):
            outer = self._way[-1][1] if self._way else self._root
            self._way.append((path[depth], self._step(outer, path[: depth + 1])))
        return self._way[-1][1] if self._way else self._root

    def _step(self, outer: int, path: tuple[bytes, ...]) -> int:
        name = path[-1]
        try:
            return os.open(name, _DIRECTORY, dir_fd=outer)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            if not self._is_mark(os.lstat(name, dir_fd=outer)):
                raise Flaw(
                    f"{shown(b'/'.join(path))} is in its way, which is a link or a file, not a directory"
                ) from None
            os.unlink(name, dir_fd=outer)
            self.opaque.add(path)
        os.mkdir(name, 0o700, dir_fd=outer)
        return os.open(name, _DIRECTORY, dir_fd=outer)

    def _is_mark(self, found: os.stat_result) -> bool:
        return self._marks and stat.S_ISCHR(found.st_mode) and found.st_rdev == 0

    def _clear(self, directory: int, name: bytes) -> None:
        """Make room for something that is no directory."""
        found = _look(directory, name)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            try:
                os.rmdir(name, dir_fd=directory)
            except OSError as error:
                if error.errno == errno.ENOTEMPTY:
                    raise Flaw("earlier in the same archive it is a directory with files in it") from None
                raise
        else:
            os.unlink(name, dir_fd=directory)

    # ---- entries

    def _directory(self, outer: int, entry: Entry) -> None:
        name = entry.parts[-1]
        found = _look(outer, name)
        if found is None or not stat.S_ISDIR(found.st_mode):
            if found is not None:
                os.unlink(name, dir_fd=outer)
                if self._is_mark(found):
                    self.opaque.add(entry.parts)
            os.mkdir(name, 0o700, dir_fd=outer)
        self._said[entry.parts] = _Said(entry)

    def _file(self, directory: int, name: bytes, entry: Entry) -> None:
        self._spent.spend(0, entry.size)
        self._clear(directory, name)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            end = 0
            for offset, data in self._archive.data():
                _write(fd, data, offset)
                end = offset + len(data)
            if end < entry.size:
                os.ftruncate(fd, entry.size)
            self._own(fd, entry)
            if entry.mode & (stat.S_ISUID | stat.S_ISGID):
                self._notes.add("without their set-uid and set-gid bits", entry.name)
            os.fchmod(fd, entry.mode & 0o777)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _symlink(self, directory: int, name: bytes, entry: Entry) -> None:
        if not entry.link or b"\0" in entry.link or len(entry.link) > self._spent.budget.path:
            raise Flaw("it is a symbolic link to something that no path can be")
        self._clear(directory, name)
        os.symlink(entry.link, name, dir_fd=directory)
        if self._owners:
            try:
                os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
            except OSError as error:
                self._foreign(error, entry.name)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=directory, follow_symlinks=False)

    def _hardlink(self, directory: int, name: bytes, entry: Entry) -> None:
        to = shown(entry.link)
        try:
            *above, last = components(entry.link, self._spent.budget) or (b"",)
        except Flaw as flaw:
            raise Flaw(f"it is a hard link to {to}: {flaw}") from None
        if (*above, last) == entry.parts:
            raise Flaw("it is a hard link to itself")
        outer = self._existing(tuple(above), to)
        try:
            found = _look(outer, last) if last else None
            if found is None or not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
                raise Flaw(f"it is a hard link to {to}, and no file of that name comes before it in the same archive")
            self._clear(directory, name)
            os.link(last, name, src_dir_fd=outer, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(outer)

    def _existing(self, path: tuple[bytes, ...], to: str) -> int:
        directory = os.dup(self._root)
        for part in path:
            try:
                inner = os.open(part, _DIRECTORY, dir_fd=directory)
            except OSError as error:
                raise Flaw(
                    f"it is a hard link to {to}, and {shown(part)} is no directory of the same archive"
                    if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR)
                    else explain(error)
                ) from None
            finally:
                os.close(directory)
            directory = inner
        return directory

    # ---- marks

    def _mark(self, above: tuple[bytes, ...], name: bytes) -> None:
        if name == _OPAQUE:
            self._enter(above)
            self.opaque.add(above)
            return
        if name.startswith(_RESERVED):
            return
        hidden = name.removeprefix(_MARK)
        if hidden in (b"", b".", b".."):
            raise Flaw("it says that something is deleted, and not what")
        directory = self._enter(above)
        found = _look(directory, hidden)
        if found is None:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
        elif stat.S_ISDIR(found.st_mode):
            self.opaque.add((*above, hidden))
        # Anything else of that name hides what is below it anyway.

    # ---- the end

    def _own(self, fd: int, entry: Entry | _Said, name: bytes | None = None) -> None:
        if self._owners:
            try:
                os.chown(fd, entry.uid, entry.gid)
            except OSError as error:
                self._foreign(error, entry.name if isinstance(entry, Entry) else name or b".")

    def _foreign(self, error: OSError, name: bytes) -> None:
        if error.errno not in _FOREIGN:
            raise error
        self._notes.add("belonging to whoever unpacked them, as this user namespace has not their owners", name)

    def finish(self) -> None:
        """Give the directories what was said about them, those within others first."""
        self._leave(0)
        self._finish(self._root, (), False)

    def _finish(self, fd: int, path: tuple[bytes, ...], hidden: bool) -> None:
        """`hidden`: nothing from below is to be seen here. Then a mark hides nothing, and would itself be seen."""
        hidden = hidden or path in self.opaque
        directories: list[bytes] = []
        marks: list[bytes] = []
        with os.scandir(fd) as found:
            for each in found:
                if each.is_dir(follow_symlinks=False):
                    directories.append(os.fsencode(each.name))
                elif hidden and not each.is_file(follow_symlinks=False) and not each.is_symlink():
                    marks.append(os.fsencode(each.name))
        for name in marks:
            os.unlink(name, dir_fd=fd)
        for name in sorted(directories):
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                self._finish(inner, (*path, name), hidden)
            finally:
                os.close(inner)
        if path and path in self.opaque:
            self._hide_below(fd, b"/".join(path))
        said = self._said.get(path)
        if said is None:
            if path:
                self._notes.add("directories without an entry of their own, so with mode 755", b"/".join(path))
            os.fchmod(fd, _UNLISTED)
            os.utime(fd, ns=(0, 0))
            return
        self._own(fd, said, b"/".join(path))
        os.fchmod(fd, said.mode & ~stat.S_ISUID)
        os.utime(fd, ns=(said.mtime, said.mtime))

    def _hide_below(self, fd: int, name: bytes) -> None:
        try:
            os.setxattr(fd, TRUSTED if self._trusted else USER, b"y")
        except OSError as error:
            raise Flaw(
                f"{shown(name)} cannot be marked as hiding what is below it ({explain(error)}): "
                "keep the images on a file system with extended attributes"
            ) from None
        if self._trusted:
            try:
                os.setxattr(fd, USER, b"y")
            except OSError:  # tmpfs has no such attributes before Linux 6.6
                self._notes.add("not hiding what is below them where a user namespace mounts them", name)


def _look(directory: int, name: bytes) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None


def _write(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done
