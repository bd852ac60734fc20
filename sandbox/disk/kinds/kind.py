"""The shape of a row: a way to limit what a directory holds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.disk.usage import Disk


class CannotLimit(Exception):
    """A way to limit a directory cannot be gone here; the text says why, and `remedy` what would help."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


class Figure:
    """What a look at a disk found. `reached`: why the limit counts as reached; "" while it does not."""

    __slots__ = ("bytes", "files", "reached", "unread")

    def __init__(self, bytes: int, files: int, reached: str, unread: int = 0) -> None:
        self.bytes = bytes
        self.files = files
        self.reached = reached
        self.unread = unread


class Watch:
    """Looks at one disk, whenever there may be something new.

    `fd`: becomes readable when something happened, to be told `heard` then; -1: nothing tells, and only looking does.
    """

    fd: int = -1

    def look(self) -> Figure:
        raise NotImplementedError

    def rest(self, figure: Figure) -> float:
        """Seconds after a look until the next one makes sense."""
        raise NotImplementedError

    def heard(self) -> None:
        """Take from `fd` all there is."""

    def close(self) -> None:
        raise NotImplementedError


class Kind:
    """`begin(disk, place, note)` sets the limit, puts what it needs to know into `disk`, and calls `note` before it
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


def reached(used: int, limit: int, files: int, most: int | None) -> str:
    """The sentence for people; "" while neither limit is reached."""
    if used >= limit:
        return f"it holds {used} bytes, and may hold {limit}"
    if most is not None and files >= most:
        return f"it holds {files} files and directories, and may hold {most}"
    return ""
