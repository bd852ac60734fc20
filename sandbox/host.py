"""What this host can give a sandbox, each found out by doing it: a table of areas, and the rows of each.

Nothing here believes a version number or a configuration. A namespace is made, a limit is set and read back, a
privilege is dropped, in children and groups that are gone afterwards. It takes a second or two in all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import syscalls
from .cgroups import freezer, tree
from .plan import plan
from .rehearse import rehearse
from .spawn import Failure
from .spec import Limits, Root, Spec, Users, Volume


class Fact(NamedTuple):
    """`how`: how it was seen to work. `why_not` and `remedy`: sentences for people, where it does not."""

    what: str
    works: bool
    how: str
    why_not: str
    remedy: str


class Ground(NamedTuple):
    """Where to try: an existing directory on the file system of sandboxes, and one for records."""

    directory: str
    state: str


_POWER = "run as root with CAP_SYS_ADMIN: outside of a container, or in one that is given it"
_USERS = (
    "allow user namespaces: sysctl user.max_user_namespaces above 0; where there is such a setting, "
    "kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)"
)
_IDS = "run as root with CAP_SYS_ADMIN, on Linux 5.12 or newer and a file system that maps ids (ext4, xfs, btrfs)"


def probe(ground: Ground) -> Iterator[Fact]:
    """Every fact, area by area."""
    for area in AREAS:
        yield from area(ground)


# -- namespaces and what is seen through them


class _Caller(NamedTuple):
    """What a plain user's sandboxes need besides: a user namespace with the user's own id alone."""

    namespaces: tuple[str, ...]
    users: Users | None
    remedy: str

    @property
    def is_root(self) -> bool:
        return self.users is None


def _caller() -> _Caller:
    if os.geteuid() == 0:
        return _Caller((), None, _POWER)
    return _Caller(("user",), Users.one(os.geteuid(), os.getegid()), _USERS)


def _namespaces(ground: Ground) -> Iterator[Fact]:
    caller = _caller()
    for name in ("pid", "mount", "ipc", "uts", "cgroup", "net", "time"):
        clocks = (1.0, 1.0) if name == "time" else None
        spec = Spec((*caller.namespaces, name), users=caller.users, tmp=False, clocks=clocks)
        yield _made(f"{name} namespace", spec, name, caller.remedy)
    ids = caller.users or Users.range(_FIRST_ID)
    yield _made("user namespace", Spec(("user",), users=ids, tmp=False), "user", _USERS)


def _views(ground: Ground) -> Iterator[Fact]:
    caller = _caller()
    names = (*caller.namespaces, "pid", "mount", "ipc")
    here = ground.directory
    trials: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("private /tmp with a size", "/tmp", {"tmp_size": 1 << 20}),
        ("own /proc", "/proc", {}),
        ("hidepid", "/proc", {"hidepid": True}),
        ("minimal /dev", "/dev", {"dev": True}),
        ("read-only host", "read-only root", {"read_only": True}),
        ("masked kernel paths", "masks", {"masks": True}),
        ("volumes", "volume /mnt", {"volumes": [Volume(here, "/mnt")]}),
        ("root file system of layers", "root", {"root": Root([here], size=1 << 20)}),
    )
    for what, part, asked in trials:
        yield _made(what, Spec(names, users=caller.users, **asked), part, caller.remedy)
    if caller.is_root:
        spec = Spec((*names, "user"), users=Users.range(_FIRST_ID), sandbox=here, sandbox_id_mapped=True)
        yield _made("id-mapped mounts", spec, "ids of sandbox", _IDS)


#: Ids that no account has: https://systemd.io/UIDS-GIDS keeps them for containers.
_FIRST_ID = 524288


def _made(what: str, spec: Spec, required: str, remedy: str) -> Fact:
    try:
        failed = rehearse(plan(spec, (required,)))
    except OSError as error:
        return Fact(
            what, False, "", f"cannot start a process that tries it: {error.strerror}", "raise its limit of them"
        )
    except Failure as failure:
        return Fact(what, False, "", failure.text, "find out who killed it: the limit of memory, say")
    if failed is not None:
        return Fact(what, False, "", failed[1], remedy)
    return Fact(what, True, "made in a child", "", "")


# -- groups

#: A controller is there for groups below one when that one's cgroup.subtree_control names it.
_DELEGATE = "have the {} controller delegated to the group that thermos is in (systemd: Delegate=yes)"
_VERSION_2 = "mount version 2 of cgroups alone (boot with systemd.unified_cgroup_hierarchy=1)"

#: (what, limits to try, what would help).
_LIMITS = (
    ("cpu", Limits(cpu=0.5), _DELEGATE.format("cpu")),
    ("cpu weight", Limits(cpu_weight=50), _DELEGATE.format("cpu")),
    ("cpu burst", Limits(cpu=0.5, cpu_burst=0.1), f"Linux 5.14 or newer; {_DELEGATE.format('cpu')}"),
    ("cpuset", Limits(cpus="0"), _DELEGATE.format("cpuset")),
    ("memory", Limits(memory=64 << 20), _DELEGATE.format("memory")),
    ("memory low", Limits(memory_low=1 << 20), _DELEGATE.format("memory")),
    ("memory high", Limits(memory_high=32 << 20), f"{_VERSION_2}; {_DELEGATE.format('memory')}"),
    ("swap", Limits(memory=64 << 20, swap=0), f"boot with swapaccount=1; {_DELEGATE.format('memory')}"),
    ("oom of the whole run", Limits(oom="group"), f"{_VERSION_2}; {_DELEGATE.format('memory')}"),
    ("pids", Limits(pids=10), _DELEGATE.format("pids")),
    ("io weight", Limits(io_weight=50), "modprobe bfq, and write bfq to /sys/block/DISK/queue/scheduler"),
    ("devices", Limits(devices=()), _POWER),
)
_IO = "a directory on a disk of its own, or a partition of one; and " + _DELEGATE.format("io (version 1: blkio)")


def _groups(ground: Ground) -> Iterator[Fact]:
    try:
        also = ("cpuset", "io", "devices")
        group = tree.make(f"doctor-{os.getpid()}", also)
    except (tree.CannotLimit, OSError) as error:
        yield Fact("cgroups", False, "", str(error), "start thermos in a cgroup of its own that it may write")
        return
    try:
        version = tree.version(group)
        yield Fact("cgroups", True, f"version {version}, below {', '.join(sorted({*tree.own().values()}))}", "", "")
        io = Limits(io=[(ground.directory, 1 << 30, 1 << 30, None, None)])
        for what, limits, remedy in (*_LIMITS, ("io", io, _IO)):
            yield _limited(what, group, limits, remedy)
        yield _frozen(group)
    finally:
        tree.remove_tree(group)


def _limited(what: str, group: dict[str, str], limits: Limits, remedy: str) -> Fact:
    answers = tree.limit(group, limits)
    missing = [why for _, _, got, why in answers if got is None]
    if missing:
        return Fact(f"limit: {what}", False, "", missing[0], remedy)
    return Fact(f"limit: {what}", True, f"set and read back: {', '.join(str(got) for _, _, got, _ in answers)}", "", "")


def _frozen(group: dict[str, str]) -> Fact:
    try:
        freezer.freeze(group)
        freezer.thaw(group)
    except (freezer.CannotFreeze, OSError) as error:
        return Fact("freeze", False, "", str(error), "mount the version 2 tree of cgroups, or the freezer")
    return Fact("freeze", True, "a group was frozen and thawed", "", "")


# -- the rest


def exits(ground: Ground | None = None) -> Iterator[Fact]:
    """Whether the end of a process is known to others than its parent: where a keeper dies, its runs' ends are."""
    what = "exit status of a process that a stranger has reaped"
    remedy = "Linux 6.15 or newer; before, a run that outlives its keeper ends LOST"
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 77"], {})
    pidfd = os.pidfd_open(pid)
    try:
        os.waitpid(pid, 0)
        status = syscalls.pidfd_exit_status(pidfd)
    finally:
        os.close(pidfd)
    if status is None:
        yield Fact(what, False, "", "the kernel does not tell it by a pidfd", remedy)
    else:
        yield Fact(what, True, f"a child exited with {os.waitstatus_to_exitcode(status)}, read by its pidfd", "", "")


def _privileges(ground: Ground) -> Iterator[Fact]:
    from .privileges import probing

    try:
        group = tree.make(f"doctor-{os.getpid()}")
    except (tree.CannotLimit, OSError):
        group = {}  # it has been told
    try:
        yield from (Fact(*row) for row in probing.probe(tree.of_processors(group)))
    finally:
        tree.remove_tree(group)


def _network(ground: Ground) -> Iterator[Fact]:
    from . import network

    try:
        rows = network.probe()
    except OSError as error:
        yield Fact("private network", False, "", f"cannot start the program that tries it: {error}", _POWER)
        return
    for row in rows:
        yield Fact(*row)._replace(what=f"private network: {row[0]}")


def _disk(ground: Ground) -> Iterator[Fact]:
    from .disk.probe import probe as tried

    for row in tried(ground.directory, ground.state):
        fact = Fact(*row)
        yield fact if fact.works or fact.remedy else fact._replace(remedy=_POWER)


def _images(ground: Ground) -> Iterator[Fact]:
    for program, what, remedy in (
        ("skopeo", "images from a registry", "install skopeo (apt-get install skopeo)"),
        ("zstd", "image layers packed by zstd", "install zstd (apt-get install zstd)"),
    ):
        path = shutil.which(program)
        yield Fact(what, path is not None, path or "", "" if path else f"there is no {program}", "" if path else remedy)


AREAS: tuple[Callable[[Ground], Iterator[Fact]], ...] = (
    _namespaces,
    _views,
    _groups,
    exits,
    _privileges,
    _network,
    _disk,
    _images,
)
