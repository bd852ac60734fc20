"""The shape of a row: a way to limit what a directory holds."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from sandbox.disk.usage import Disk

    class Watch(Protocol):
        """Looks at one disk, whenever there may be something new."""

        @property
        def fd(self) -> int:
            """Becomes readable when something happened; -1: nothing tells, and only looking does."""
            ...

        def look(self) -> Figure:
            """Raises OSError where the disk is not there, or no more."""
            ...

        def rest(self, figure: Figure) -> float:
            """Seconds after a look until the next one makes sense."""
            ...

        def heard(self) -> None:
            """Take from `fd` all there is. Called where there is one, and it is readable."""
            ...

        def close(self) -> None: ...


#: What a file system gives out at once, in bytes, and so what a limit of its own is rounded up to.
BLOCK = 4096

#: Of a limit: from this share on a watch that nobody tells anything looks more often.
NEAR = 0.9


class CannotLimit(Exception):
    """A way to limit a directory cannot be gone here; the text says why, and `remedy` what would help."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


class Figure:
    """What a look at a disk found: `bytes`, `files` and directories, and of these `unread`, which may hold more.

    `reached`: why the limit counts as reached; "" while it does not.
    """

    __slots__ = ("bytes", "files", "reached", "unread")

    def __init__(self, bytes: int, files: int, reached: str, unread: int = 0) -> None:
        self.bytes = bytes
        self.files = files
        self.reached = reached
        self.unread = unread


class Kind:
    """A way to limit a directory. `stage` is one of `sandbox.disk.records`.

    `begin(disk, place, note)` sets the limit, puts what it needs to know into `disk`, and calls `note` before it
    does anything that would stay; `place` is its holder's directory among the records. Raises CannotLimit or
    OSError: whatever it then has left, `end` takes away.

    `again(disk, place, stage)` sets it after a reboot, or sees that it is set; raises CannotLimit.

    `end(disk, place, stage, note)` takes the limit away and leaves the files; the text says why they are not back in
    their directory ("": they are), and a later `end` tries it again. It calls `note` with each stage it comes to.

    `enforced`: the kernel refuses the writer what is too much.
    """

    __slots__ = ("again", "begin", "end", "enforced", "name", "watch")

    def __init__(
        self,
        name: str,
        enforced: bool,
        begin: Callable[[Disk, str, Callable[[], None]], None],
        again: Callable[[Disk, str, str], None],
        end: Callable[[Disk, str, str, Callable[[str], None]], str],
        watch: Callable[[Disk], Watch],
    ) -> None:
        self.name = name
        self.enforced = enforced
        self.begin = begin
        self.again = again
        self.end = end
        self.watch = watch


def in_blocks(limit: int) -> int:
    """Bytes rounded up to whole blocks."""
    return -(-limit // BLOCK) * BLOCK


def open_directory(path: str) -> int:
    """A descriptor of a directory itself: of no other by way of a link. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def reached(used: int, limit: int, files: int, most: int | None) -> str:
    """The sentence for people; "" while neither limit is reached."""
    if used >= limit:
        return f"it holds {used} bytes, and may hold {limit}"
    if most is not None and files >= most:
        return f"it holds {files} files and directories, and may hold {most}"
    return ""
