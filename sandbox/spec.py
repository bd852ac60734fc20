"""What a caller may ask of a sandbox. Pure values, no system call."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    IoLimit = tuple[str, int | None, int | None, int | None, int | None]


class Limits:
    """Limits of a group of processes. None: this one is not asked for, and stays as it is; -1: no limit any more.

    Processor time: `cpu`, in cores. `cpu_weight`, 1 to 10000, where every group has 100 from birth: its share of what
    is scarce. `cpu_burst`, in cores: how far it may go beyond `cpu` for a tenth of a second with what it saved up.
    Memory, in bytes: `memory`, page cache included. `swap`: how much of it may lie there besides. `memory_low`: what is
    left to it when others need memory. `memory_high`: where the kernel begins to slow it down, without swap to a
    crawl. `oom`: what dies of a lack of memory, the "process" or the whole "group".
    `pids`: processes and threads. `cpus` and `mems`: the processors and memory nodes it may use, such as "0-1,3".
    `io`: for each device (device, bytes read, bytes written, reads, writes), all but the first a second and None for
    no limit; the device is a path in /dev, a path of something on it, or "MAJOR:MINOR". `io_weight`: as `cpu_weight`.
    `devices`: the device nodes it may use besides harmless ones, each "PATH [rwm]" or "c|b MAJOR:MINOR [rwm]".

    Raises ValueError for what is no limit; what this host cannot give is found out when a limit is set.
    """

    __slots__ = (
        "cpu",
        "cpu_burst",
        "cpu_weight",
        "cpus",
        "devices",
        "io",
        "io_weight",
        "memory",
        "memory_high",
        "memory_low",
        "mems",
        "oom",
        "pids",
        "swap",
    )

    def __init__(
        self,
        cpu: float | None = None,
        memory: int | None = None,
        pids: int | None = None,
        *,
        cpu_weight: int | None = None,
        cpu_burst: float | None = None,
        memory_low: int | None = None,
        memory_high: int | None = None,
        swap: int | None = None,
        oom: str | None = None,
        io: Sequence[IoLimit] | None = None,
        io_weight: int | None = None,
        cpus: str | None = None,
        mems: str | None = None,
        devices: Sequence[str] | None = None,
    ) -> None:
        self.cpu = cpu
        self.memory = memory
        self.pids = pids
        self.cpu_weight = cpu_weight
        self.cpu_burst = cpu_burst
        self.memory_low = memory_low
        self.memory_high = memory_high
        self.swap = swap
        self.oom = oom
        self.io = io
        self.io_weight = io_weight
        self.cpus = cpus
        self.mems = mems
        self.devices = devices
        for name, whole in _NUMBERS.items():
            value = getattr(self, name)
            if value is None:
                continue
            number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not number or not (value >= 0 or value == -1):
                kind = "a whole number" if whole else "a number"
                raise ValueError(f"cannot limit {name} to {value!r}: expected {kind} from 0 on, or -1 for no limit")
        if oom not in (None, "process", "group"):
            raise ValueError(f"cannot use {oom!r} as oom: expected 'process' or 'group'")

    def asked(self) -> dict[str, Any]:
        """Those that are asked for, by name: `Limits(**limits.asked())` asks for the same."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


#: Those that are numbers, and whether they are whole ones.
_NUMBERS = {
    **dict.fromkeys(("cpu", "cpu_burst"), False),
    **dict.fromkeys(("cpu_weight", "io_weight", "memory", "memory_high", "memory_low", "pids", "swap"), True),
}


class Volume:
    """Something of the host's that is seen inside: a directory, or a file.

    `source`: absolute path on the host; symbolic links in it are the host's to follow. `target`: absolute path inside;
    no link in it leads out of the sandbox's root. `read_only`: with all that is mounted below. `recursive`: with what
    is mounted below, else without. `id_mapped`: ids on disk are the user namespace's own (0 inside is 0 on disk).
    """

    __slots__ = ("id_mapped", "read_only", "recursive", "source", "target")

    def __init__(
        self, source: str, target: str, read_only: bool = True, recursive: bool = True, id_mapped: bool = False
    ) -> None:
        self.source = source
        self.target = target
        self.read_only = read_only
        self.recursive = recursive
        self.id_mapped = id_mapped


class Root:
    """A root file system other than the host's: directories, topmost first, and what takes the changes.

    `upper` and `work`: directories of one file system, kept by the caller: changes are on disk. Neither: changes are
    in memory, `size` bytes at most (None: as the kernel has it, half of the memory), and gone with the sandbox.
    `plain`: the one directory of `lower` itself is the root; what is changed is changed in it.

    With a user namespace of several ids, those on disk are the namespace's own (0 inside is 0 on disk), if the file
    systems can do that; `upper` and `work` are in one directory then, with nothing else.
    """

    __slots__ = ("lower", "plain", "size", "upper", "work")

    def __init__(
        self,
        lower: Sequence[str],
        upper: str | None = None,
        work: str | None = None,
        size: int | None = None,
        plain: bool = False,
    ) -> None:
        if isinstance(lower, str):
            raise ValueError(f"cannot use {lower!r} as the directories of a root: expected a list of texts")
        self.lower = tuple(lower)
        self.upper = upper
        self.work = work
        self.size = size
        self.plain = plain


class Users:
    """The ids of a user namespace: rows of (first inside, first outside, how many), see user_namespaces(7).

    A row for one id alone that is the caller's needs no privilege; more rows need root, or /etc/subuid, /etc/subgid
    and newuidmap. With more than one id, id 0 must be one of them: the first process works as it, and a process must be
    told which to be (`Place.credentials`, ids inside).
    """

    __slots__ = ("gids", "uids")

    def __init__(self, uids: Sequence[tuple[int, int, int]], gids: Sequence[tuple[int, int, int]]) -> None:
        self.uids = tuple(uids)
        self.gids = tuple(gids)

    @classmethod
    def one(cls, uid: int, gid: int, inside: tuple[int, int] | None = None) -> Users:
        """The caller's own ids alone, by their own numbers or by those of `inside`."""
        as_uid, as_gid = inside or (uid, gid)
        return cls([(as_uid, uid, 1)], [(as_gid, gid, 1)])

    @classmethod
    def range(cls, outside: int, count: int = 65536) -> Users:
        """The ids 0 to `count` - 1 inside, from `outside` on."""
        return cls([(0, outside, count)], [(0, outside, count)])

    def alone(self) -> bool:
        """Whether there is but one user id and one group id."""
        return all(len(rows) == 1 and rows[0][2] == 1 for rows in (self.uids, self.gids))


class Spec:
    """The namespaces of a sandbox: which ones, and what is seen through them. What is not asked for is the host's.

    `namespaces`: names of `sandbox.namespaces`. Of a `user` namespace `users` are the ids. `hostname`: the name the
    host has inside; None: the one it has. `clocks`: seconds that CLOCK_MONOTONIC and CLOCK_BOOTTIME are ahead (`time`).

    The rest needs a `mount` namespace. `sandbox`: the directory that can be written, at its own path inside too;
    `sandbox_id_mapped`: see `Volume`. `keep`: absolute paths that are there as they are, whatever hides the rest.
    `root`: another root than the host's. `read_only`: all but `sandbox`, `keep`, volumes that can be written and what
    is private. `volumes`: see there. `tmp`: a /tmp, a /var/tmp and a /dev/shm of its own, with `tmp_size` bytes for
    each of the first two and `shm_size` for the third; None: as the kernel has it, half of the memory. `dev`: a /dev
    of its own with the six devices that every program expects; `devices`: absolute paths of others of the host's.
    `masks`: what the kernel tells about the host is hidden (with a `cgroup` namespace /sys/fs/cgroup too: the groups
    of others), and what changes it cannot be written. `hidepid`: processes of other users are not seen in /proc.
    `hide`: directories that are empty inside, but for what is said to be there.

    Raises ValueError for what contradicts itself, and for what would silently be left out: a view of files without a
    mount namespace. `hostname` and `clocks` are of no effect without theirs.
    """

    __slots__ = (
        "clocks",
        "dev",
        "devices",
        "hide",
        "hidepid",
        "hostname",
        "keep",
        "masks",
        "namespaces",
        "read_only",
        "root",
        "sandbox",
        "sandbox_id_mapped",
        "shm_size",
        "tmp",
        "tmp_size",
        "users",
        "volumes",
    )

    def __init__(
        self,
        namespaces: Sequence[str],
        keep: Sequence[str] = (),
        hostname: str | None = None,
        *,
        users: Users | None = None,
        clocks: tuple[float, float] | None = None,
        sandbox: str | None = None,
        sandbox_id_mapped: bool = False,
        root: Root | None = None,
        read_only: bool = False,
        volumes: Sequence[Volume] = (),
        tmp: bool = True,
        tmp_size: int | None = None,
        shm_size: int | None = None,
        dev: bool = False,
        devices: Sequence[str] = (),
        masks: bool = False,
        hidepid: bool = False,
        hide: Sequence[str] = (),
    ) -> None:
        self.namespaces = tuple(namespaces)
        self.keep = tuple(keep)
        self.hostname = hostname
        self.users = users
        self.clocks = clocks
        self.sandbox = sandbox
        self.sandbox_id_mapped = sandbox_id_mapped
        self.root = root
        self.read_only = read_only
        self.volumes = tuple(volumes)
        self.tmp = tmp
        self.tmp_size = tmp_size
        self.shm_size = shm_size
        self.dev = dev
        self.devices = tuple(devices)
        self.masks = masks
        self.hidepid = hidepid
        self.hide = tuple(hide)
        for name, value in (("namespaces", namespaces), ("keep", keep), ("devices", devices), ("hide", hide)):
            if isinstance(value, str):
                raise ValueError(f"cannot use {value!r} as {name}: expected a list of texts")
        self._check()
        self._check_view()

    def _check(self) -> None:
        from .namespaces import NAMESPACES

        for name in self.namespaces:
            if name not in NAMESPACES:
                raise ValueError(f"cannot make a namespace {name!r}: there are {', '.join(NAMESPACES)}")
        if self.users is not None:
            _check_users(self.users)
        if ("user" in self.namespaces) != (self.users is not None):
            raise ValueError("cannot make a user namespace: it needs users, and they need it")
        if self.root is not None:
            _check_root(self.root)
        self._check_paths()

    def _check_paths(self) -> None:
        paths: list[object] = [self.sandbox or "/x", *self.keep, *self.hide, *self.devices]
        for volume in self.volumes:
            paths += [volume.source, volume.target]
        for path in paths:
            if not isinstance(path, str):
                raise ValueError(f"cannot use {path!r} as a path: expected a text")
            if not path.startswith("/") or "\0" in path or any(part in (".", "..") for part in path.split("/")):
                raise ValueError(f"cannot use the path {path!r}: it must be absolute and without dots")
        for path in [self.sandbox or "/x", *self.hide, *(volume.target for volume in self.volumes)]:
            if not path.strip("/"):
                raise ValueError("cannot use the root itself as sandbox, hidden directory or target of a volume")

    def _check_view(self) -> None:
        if "mount" not in self.namespaces:
            for name in ("root", "read_only", "volumes", "tmp_size", "shm_size", "dev", "devices", "masks", "hide"):
                if getattr(self, name):
                    raise ValueError(f"cannot give {name}: it takes a mount namespace")
        if self.hidepid and not {"mount", "pid"}.issubset(self.namespaces):
            raise ValueError("cannot give hidepid: it takes a mount and a pid namespace")
        for name in ("tmp_size", "shm_size"):
            size: object = getattr(self, name)
            if size is not None and (not isinstance(size, int) or size < 1):
                raise ValueError(f"cannot give {name} of {size!r}: expected a number of bytes, at least 1")
        for what, each in (("volumes at", [volume.target for volume in self.volumes]), ("devices", self.devices)):
            twice = next((path for number, path in enumerate(each) if path in each[:number]), "")
            if twice:
                raise ValueError(f"cannot give two {what} {twice}")


def _check_users(users: Users) -> None:
    if not (_are_ids(users.uids) and _are_ids(users.gids)):
        raise ValueError("cannot make a user namespace: expected rows of (first inside, first outside, how many)")
    if not users.alone() and not all(any(row[0] == 0 for row in rows) for rows in (users.uids, users.gids)):
        raise ValueError("cannot make a user namespace of several ids: id 0 is not one of them")


def _check_root(root: Root) -> None:
    if not root.lower or (root.plain and len(root.lower) > 1):
        raise ValueError("cannot make a root: it needs a directory, and a plain one no more than one")
    if (root.upper is None) != (root.work is None) or (root.plain and root.upper):
        raise ValueError("cannot make a root: upper and work go together, and not with a plain directory")
    for directory in (*root.lower, root.upper or "/x", root.work or "/x"):
        if not directory.startswith("/"):
            raise ValueError(f"cannot use {directory!r} in a root: it must be an absolute path")


def _are_ids(rows: Sequence[tuple[int, int, int]]) -> bool:
    """Whether a user namespace takes them: user_namespaces(7), of 32 bits each."""
    return bool(rows) and all(
        min(inside, outside) >= 0 and count > 0 and max(inside, outside) + count < 1 << 32
        for inside, outside, count in rows
    )
