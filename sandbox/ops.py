"""The steps a sandbox is made of, as values: the namespace it belongs to, the part it gives, its name and arguments.

Values can be printed, compared, sent to another process and tested without being root; `sandbox.furnish` is the one
loop that carries them out, in the first process of the sandbox. The part says what is missing where a step fails.

Paths of targets are absolute inside the sandbox's root: no symbolic link leads out of it. One that is missing is made,
but never in what is the host's. A thing of the host's is taken before anything is hidden, and put where it is wanted
when that is there; in between its part's name holds it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

Op: TypeAlias = "tuple[str, str, str, tuple[object, ...]]"

#: MOUNT_ATTR_*, <linux/mount.h>. MS_RDONLY, MS_NOSUID, MS_NODEV and MS_NOEXEC are the same numbers.
RDONLY = 1
NOSUID = 2
NODEV = 4
NOEXEC = 8


def unshare(namespace: str, flags: int) -> Op:
    return (namespace, namespace, "unshare", (flags,))


def sethostname(name: str) -> Op:
    return ("uts", "hostname", "sethostname", (name,))


def set_clocks(monotonic: float, boottime: float) -> Op:
    return ("time", "clocks", "set_clocks", (float(monotonic), float(boottime)))


def enter_time() -> Op:
    """A new time namespace is for children, and nobody has one of the first process's: it enters it."""
    return ("time", "time", "enter_time", ())


def loopback() -> Op:
    return ("net", "loopback", "loopback", ())


def become_root() -> Op:
    """What the first process makes must belong to an id that the user namespace has."""
    return ("user", "user", "become_root", ())


def propagation(flags: int) -> Op:
    """Where mounts are seen that are made later. In a chroot its directory becomes the root of the namespace before."""
    return ("mount", "mount", "propagation", (flags,))


def take(part: str, path: str, recursive: bool = True) -> Op:
    """Hold what is at a path of the host's."""
    return ("mount", part, "take", (part, path, recursive))


def take_mapped(part: str, path: str, recursive: bool = True) -> Op:
    """The same, its ids mapped by the user namespace: carried out by a process outside it."""
    return ("mount", f"ids of {part}", "take_mapped", (f"root {path}" if part == "root" else part, path, recursive))


def put(part: str, target: str, attributes: int = 0) -> Op:
    """What is held, with MOUNT_ATTR_* for it and all below."""
    return ("mount", part, "put", (part, target, attributes))


def filesystem(part: str, fstype: str, target: str, flags: int, data: str = "") -> Op:
    return ("mount", part, "filesystem", (fstype, target, flags, data))


def cover(part: str, target: str) -> Op:
    """An empty directory over a directory, if there is one. `seal` makes it read-only when all in it is there.

    What was mounted below is mounted here no more: a disk that its owner unmounts would stay in use. In a user
    namespace it stays: the kernel keeps mounts together that come from a more privileged one.
    """
    return ("mount", part, "cover", (target,))


def seal(part: str, target: str) -> Op:
    return ("mount", part, "seal", (target,))


def overlay(lower: Sequence[str], upper: str | None, work: str | None, size: int | None, user: bool) -> Op:
    return ("mount", "root", "overlay", (tuple(lower), upper, work, size, user))


def directory(path: str) -> Op:
    return ("mount", "root", "directory", (path,))


def read_only(recursive: bool, attributes: int = RDONLY) -> Op:
    """The root; `recursive`: and all that is mounted below it by now. `attributes`: MOUNT_ATTR_*."""
    return ("mount", "read-only root", "read_only", (recursive, attributes))


def pivot() -> Op:
    return ("mount", "root", "pivot", ())


def devices(names: Sequence[tuple[str, int, int]], links: Sequence[tuple[str, str]]) -> Op:
    """A /dev of its own: names with their numbers, links with what they lead to."""
    return ("mount", "/dev", "devices", (tuple(names), tuple(links)))


def mask(path: str) -> Op:
    """Nothing is at a path: a directory is empty, a file is /dev/null. Nor is it an error if nothing was."""
    return ("mount", "masks", "mask", (path,))


def freeze(path: str) -> Op:
    """A path, if there is one, and all below cannot be written."""
    return ("mount", "masks", "freeze", (path,))
