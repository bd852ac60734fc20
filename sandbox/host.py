"""What this host can give a sandbox, each found out by doing it: a table of areas, and the rows of each.

Nothing here believes a version number or a configuration. A namespace is made, a limit is set and read back, a
privilege is dropped, in children and groups that are gone afterwards. It takes a second or two in all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .cgroups import freezer, tree
from .plan import plan
from .rehearse import rehearse
from .spec import Limits, Spec, Users, Volume


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


_AS_ROOT = "run as root"
_CONTAINER = "run as root, and outside of a container that forbids it"


def probe(ground: Ground) -> Iterator[Fact]:
    """Every fact, area by area."""
    for area in AREAS:
        yield from area(ground)


# -- namespaces and what is seen through them


def _namespaces(ground: Ground) -> Iterator[Fact]:
    alone = os.geteuid() != 0
    users = Users.one(os.geteuid(), os.getegid()) if alone else None
    extra = ("user",) if alone else ()
    for name in ("pid", "mount", "ipc", "uts", "cgroup", "net", "time"):
        spec = Spec((*extra, name), users=users, tmp=False, clocks=(1.0, 1.0) if name == "time" else None)
        yield _made(f"{name} namespace", spec, (name,), _CONTAINER)
    ids = users or Users.range(524288)
    yield _made("user namespace", Spec(("user",), users=ids, tmp=False), ("user",), _USERS)


_USERS = "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0"


def _views(ground: Ground) -> Iterator[Fact]:
    alone = os.geteuid() != 0
    users = Users.one(os.geteuid(), os.getegid()) if alone else None
    names = ("user", "pid", "mount", "ipc") if alone else ("pid", "mount", "ipc")
    here = ground.directory
    trials: list[tuple[str, str, dict[str, object]]] = [
        ("private /tmp with a size", "/tmp", {"tmp_size": 1 << 20}),
        ("own /proc", "/proc", {}),
        ("hidepid", "/proc", {"hidepid": True}),
        ("minimal /dev", "/dev", {"dev": True}),
        ("read-only host", "read-only root", {"read_only": True}),
        ("masked kernel paths", "masks", {"masks": True}),
        ("volumes", "volume /mnt", {"volumes": [Volume(here, "/mnt")]}),
    ]
    for what, part, asked in trials:
        spec = Spec(names, users=users, **asked)  # type: ignore[arg-type]  # the table above fits it
        yield _made(what, spec, (part,), _CONTAINER)
    if not alone:
        spec = Spec((*names, "user"), users=Users.range(524288), sandbox=here, sandbox_id_mapped=True)
        yield _made("id-mapped mounts", spec, ("ids of sandbox",), "Linux 5.12 and a file system that knows them")


def _made(what: str, spec: Spec, required: tuple[str, ...], remedy: str) -> Fact:
    try:
        failed = rehearse(plan(spec, required))
    except Exception as error:  # whatever it is, it is what this host does
        return Fact(what, False, "", str(error), remedy)
    if failed is None:
        return Fact(what, True, "made in a child", "", "")
    return Fact(what, False, "", f"{failed[0]}: {failed[1]}", remedy)


# -- groups

_LIMITS = {
    "cpu": Limits(cpu=0.5),
    "cpu weight": Limits(cpu_weight=50),
    "cpu burst": Limits(cpu=0.5, cpu_burst=0.1),
    "cpuset": Limits(cpus="0"),
    "memory": Limits(memory=64 << 20),
    "memory low": Limits(memory_low=1 << 20),
    "memory high": Limits(memory_high=32 << 20),
    "swap": Limits(memory=64 << 20, swap=0),
    "oom of the whole run": Limits(oom="group"),
    "pids": Limits(pids=10),
    "io weight": Limits(io_weight=50),
    "devices": Limits(devices=()),
}


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
        for what, limits in {**_LIMITS, "io": Limits(io=[(ground.directory, 1 << 30, 1 << 30, None, None)])}.items():
            yield _limited(what, group, limits)
        yield _frozen(group)
    finally:
        tree.remove_tree(group)


def _limited(what: str, group: dict[str, str], limits: Limits) -> Fact:
    answers = tree.limit(group, limits)
    missing = [why for _, _, got, why in answers if got is None]
    if missing:
        return Fact(f"limit: {what}", False, "", missing[0], "a kernel, and a parent group, that have this controller")
    return Fact(f"limit: {what}", True, f"set and read back: {', '.join(str(got) for _, _, got, _ in answers)}", "", "")


def _frozen(group: dict[str, str]) -> Fact:
    try:
        freezer.freeze(group)
        freezer.thaw(group)
    except (freezer.CannotFreeze, OSError) as error:
        return Fact("freeze", False, "", str(error), "mount the version 2 tree of cgroups, or the freezer")
    return Fact("freeze", True, "a group was frozen and thawed", "", "")


# -- the rest


def _privileges(ground: Ground) -> Iterator[Fact]:
    from .privileges import probing

    return (Fact(*row) for row in probing.probe())


def _network(ground: Ground) -> Iterator[Fact]:
    from . import network

    return (Fact(*row)._replace(what=f"private network: {row[0]}") for row in network.probe())


def _disk(ground: Ground) -> Iterator[Fact]:
    from .disk.probe import probe as tried

    return (Fact(*row) for row in tried(ground.directory, ground.state))


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
    _privileges,
    _network,
    _disk,
    _images,
)
