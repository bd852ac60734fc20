"""The shape of a row: a kind of privilege. And of the kernel a sandbox is planned for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from .asked import Privileges

#: The part it belongs to, then the arguments of what `doing` has under that name: values that marshal takes.
Step: TypeAlias = "tuple[object, ...]"


class Refused(ValueError):
    """What is asked makes no sense. `field` of `Privileges`, with the key in it if there is one; `why`."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class Kernel:
    """`machine` and `release` as uname(2) says them; `landlock`: its version of Landlock's interface, 0 for none."""

    __slots__ = ("landlock", "machine", "release")

    def __init__(self, machine: str, release: str, landlock: int = 0) -> None:
        self.machine = machine
        self.release = release
        self.landlock = landlock


def _nothing(asked: Privileges, kernel: Kernel) -> list[tuple[str, str]]:
    return []


class Privilege:
    """`steps`: what a process does, early and late, and raises Refused. `describe`: (what, how it was asked) of what
    was asked, or holds by default. `lacking`: (what, why) of what this kernel cannot do of it."""

    __slots__ = ("describe", "lacking", "name", "steps")

    def __init__(
        self,
        name: str,
        steps: Callable[[Privileges, Kernel, bool], list[Step]],
        describe: Callable[[Privileges, bool], list[tuple[str, str]]],
        lacking: Callable[[Privileges, Kernel], list[tuple[str, str]]] = _nothing,
    ) -> None:
        self.name = name
        self.steps = steps
        self.describe = describe
        self.lacking = lacking
