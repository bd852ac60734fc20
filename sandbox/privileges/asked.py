"""What a caller may ask of a process's privileges. Plain values, no system call."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Values of `Privileges.seccomp` that are no profile.
DEFAULT, UNCONFINED = "default", "unconfined"


class Landlock:
    """Paths and ports, and nothing else: landlock(7).

    `read`, `write`, `execute`: files, or directories with all below them. Each says also what goes without saying:
    what may be written or executed may be read. Where all three are None the file system is not restricted; an empty
    list is a restriction. `bind`, `connect`: TCP ports (0: one of the kernel's choice), None for all. `scoped`: of
    "abstract-unix-socket" and "signal", what does not reach beyond the process and what it starts.
    """

    __slots__ = ("bind", "connect", "execute", "read", "scoped", "write")

    def __init__(
        self,
        read: Sequence[str] | None = None,
        write: Sequence[str] | None = None,
        execute: Sequence[str] | None = None,
        *,
        bind: Sequence[int] | None = None,
        connect: Sequence[int] | None = None,
        scoped: Sequence[str] = (),
    ) -> None:
        self.read = read
        self.write = write
        self.execute = execute
        self.bind = bind
        self.connect = connect
        self.scoped = scoped


class Privileges:
    """What one process may do. Nothing said: few capabilities, the default profile of seccomp, all else as it is.

    `capabilities_added`, `capabilities_dropped`: names, with or without CAP_, or "ALL"; a name given in both is kept.
    `seccomp`: "default", "unconfined", or a decoded JSON document of `sandbox.seccomp.oci`. `trace`: the default
    profile lets debuggers work. `rlimits`: a name of getrlimit(2), in small letters without RLIMIT_ -> "soft:hard" or
    one for both, of numbers and "unlimited". `oom_score_adj`: -1000 to 1000. `nice`: -20 to 19. `ionice`: "idle",
    "best-effort[:0-7]", "realtime[:0-7]" (0 first). `cpus`: a list as "0-3,8". `scheduling`: "other", "batch",
    "idle", "fifo:1-99", "rr:1-99" (99 first).
    """

    __slots__ = (
        "capabilities_added",
        "capabilities_dropped",
        "cpus",
        "ionice",
        "landlock",
        "nice",
        "oom_score_adj",
        "rlimits",
        "scheduling",
        "seccomp",
        "trace",
    )

    def __init__(
        self,
        *,
        capabilities_added: Sequence[str] = (),
        capabilities_dropped: Sequence[str] = (),
        seccomp: object = DEFAULT,
        trace: bool = False,
        landlock: Landlock | None = None,
        rlimits: Mapping[str, str] | None = None,
        oom_score_adj: int | None = None,
        nice: int | None = None,
        ionice: str | None = None,
        cpus: str | None = None,
        scheduling: str | None = None,
    ) -> None:
        self.capabilities_added = capabilities_added
        self.capabilities_dropped = capabilities_dropped
        self.seccomp = seccomp
        self.trace = trace
        self.landlock = landlock
        self.rlimits = rlimits or {}
        self.oom_score_adj = oom_score_adj
        self.nice = nice
        self.ionice = ionice
        self.cpus = cpus
        self.scheduling = scheduling
