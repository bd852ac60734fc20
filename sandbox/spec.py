"""What a caller may ask of a sandbox. Pure values, no system call."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Limits:
    """Limits of a group of processes; None is no limit. `cpu` in cores, `memory` in bytes, `pids` in threads."""

    __slots__ = ("cpu", "memory", "pids")

    def __init__(self, cpu: float | None = None, memory: int | None = None, pids: int | None = None) -> None:
        self.cpu = cpu
        self.memory = memory
        self.pids = pids


class Spec:
    """The namespaces of a sandbox: which ones, and what is seen through them.

    `namespaces`: names of `sandbox.namespaces`. `keep`: absolute paths that must be there as they are, also
    where a private mount would hide them. `hostname`: the name the host has inside; None: the one it has.
    """

    __slots__ = ("hostname", "keep", "namespaces")

    def __init__(self, namespaces: Sequence[str], keep: Sequence[str] = (), hostname: str | None = None) -> None:
        self.namespaces = tuple(namespaces)
        self.keep = tuple(keep)
        self.hostname = hostname
