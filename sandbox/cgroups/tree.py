"""Groups on disk: find the caller's own, make one below it, set limits, kill, remove.

Two layouts. Version 1 (and hybrid) has one tree per controller, and perhaps a version 2 tree that counts nothing but
kills and watches. Version 2 alone has one tree for all. A group here is a mapping from controller, or "unified" for
the version 2 tree, to a directory; several controllers may share one.

Nothing is ever made anywhere but below the group the caller is in.
"""

from __future__ import annotations

import errno
import os
import time

from .controllers import CONTROLLERS
from .kernel import PROCS as PROCS
from .kernel import hand_on, others
from .kernel import read as read
from .kernel import write as write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox.spec import Limits

    from .limits import Answer

#: Controllers that every group has: one more tree of version 1 costs every run a tenth of a millisecond.
_ALWAYS = [row.name for row in CONTROLLERS.values() if row.always]

#: The trees of version 1 that a group may be made in: those with limits, and the one that counts processor time.
_V1 = (*(row.tree for row in CONTROLLERS.values()), "cpuacct", "freezer")

#: In this tree of version 1 a group's limits say nothing to the groups below it (only in version 2 do they): there
#: are no leaves in it, and every process joins the group itself. But not where it is mounted together with another.
_FLAT = ("blkio",)


class CannotLimit(Exception):
    """The host cannot give a group, or a controller of it; the text says why."""


def own() -> dict[str, str]:
    """The caller's own group: controller (or "unified") -> directory. Empty where no tree is mounted.

    Slurm finds the processes of its jobs by the version 1 freezer; as part of such a job it is not for us.
    """
    mine = _own(_text("/proc/self/cgroup"), _text("/proc/self/mountinfo"))
    if "SLURM_JOB_ID" in os.environ:
        mine.pop("freezer", None)
    return mine


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _own(cgroup: str, mountinfo: str) -> dict[str, str]:
    memberships: dict[str, str] = {}  # controller -> path in its tree
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else ["unified"]:
            memberships[controller] = path
    groups: dict[str, str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fstype, _, options = right.split(" ", 2)
        root, mountpoint = left.split(" ")[3:5]
        if fstype == "cgroup2":
            names = ["unified"]
        elif fstype == "cgroup":
            names = [name for name in options.split(" ")[-1].split(",") if name in _V1]
        else:
            continue
        for name in names:
            path = memberships.get(name, "")
            if not path or name in groups:
                continue
            if root != "/":  # a cgroup namespace, or a part of the tree mounted by itself
                if path != root and not path.startswith(root + "/"):
                    continue
                path = path[len(root) :]
            groups[name] = (mountpoint + path).rstrip("/")
    return groups


def version(group: Mapping[str, str]) -> int:
    """1: limits are set by version 1 controllers (a "unified" beside them only watches); 2: by the one tree."""
    return 2 if set(group) == {"unified"} else 1


def find(name: str) -> dict[str, str]:
    """What there is of the group `thermos/<name>` below the caller's own: as `make` gave it, or less, or nothing."""
    _check_name(name)
    group = {controller: f"{directory}/thermos/{name}" for controller, directory in own().items()}
    return {controller: path for controller, path in group.items() if os.path.isdir(path)}


def _check_name(name: str) -> None:
    """What `remove_tree` kills and removes is to be below. Raises ValueError."""
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"cannot name a group {name!r}")


def make(name: str, also: Iterable[str] = ()) -> dict[str, str]:
    """A group `thermos/<name>` below the caller's own, in every tree that is needed. Making it twice is no error.

    `also`: controllers beyond cpu, memory and pids, see `controllers.needed`. Raises CannotLimit where not one tree
    can be written, and ValueError for a name that is no directory's.
    """
    _check_name(name)
    mine = own()
    wanted = [*_ALWAYS, *also]
    trees = {CONTROLLERS[each].tree for each in wanted} | {"cpuacct", "unified"}
    if "unified" not in mine:
        trees.add("freezer")
    group: dict[str, str] = {}
    reason = "no cgroup file system is mounted"
    unified = _unified(mine, wanted)
    if unified:
        _delegate(mine["unified"], name, unified)
    for controller, directory in mine.items():
        if controller not in trees:
            continue
        try:
            path = f"{directory}/thermos/{name}"
            _make_dirs(path, directory)
            if controller == "cpuset":
                _inherit(path, directory)
            group[controller] = path
        except OSError as error:
            reason = f"cannot make a group in {directory}: {os.strerror(error.errno or 0)}"
    if not group:
        raise CannotLimit(reason)
    if unified and "unified" in group:
        try:
            hand_on(f"{mine['unified']}/thermos", unified)
            hand_on(group["unified"], unified)  # a leaf counts its own OOM kills and memory only with its own
        except OSError as error:
            if version(group) == 2:
                raise CannotLimit(f"cannot hand controllers on to {group['unified']}: {error.strerror}") from error
    return group


def _unified(mine: Mapping[str, str], wanted: Iterable[str]) -> list[str]:
    """Those of the controllers that are in the version 2 tree; a controller is in one tree only."""
    if "unified" not in mine:
        return []
    there = read(f"{mine['unified']}/cgroup.controllers").split()
    return [name for name in wanted if name in there]


def _inherit(path: str, ours: str) -> None:
    """Let a group in the version 1 cpuset tree have what ours has: from birth it has nothing, and nobody may join.

    What is made below it has what it has.
    """
    from .controllers.cpuset import CPUS, MEMS

    for directory in (os.path.dirname(path), path):
        for file in (CPUS, MEMS):
            if not read(f"{directory}/{file}"):
                write(f"{directory}/{file}", read(f"{ours}/{file}"))
    write(f"{path}/cgroup.clone_children", "1")


def _make_dirs(path: str, below: str) -> None:
    for _ in range(10):  # another task's end may remove the level between
        try:
            if not os.path.isdir(below + "/thermos"):
                os.mkdir(below + "/thermos", 0o755)
        except FileExistsError:
            pass
        try:
            os.mkdir(path, 0o755)
            return
        except FileExistsError:
            return
        except FileNotFoundError:
            continue
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _delegate(directory: str, name: str, controllers: list[str]) -> None:
    """Let children of the caller's own version 2 group have controllers.

    The kernel refuses that while the group itself holds processes (other than at the root): those of ours move
    into a leaf of their own beside the task's. Somebody else's are not ours to move, and then there are no limits:
    `limit` says why. `_give_back` undoes it.
    """
    try:
        hand_on(directory, controllers)
        return
    except OSError as error:
        if error.errno != errno.EBUSY:
            return
    try:
        if others(directory):
            return
        leaf = f"{directory}/thermos.{name}"
        os.mkdir(leaf, 0o755)
        _move_all(directory, leaf)
        hand_on(directory, controllers)
    except OSError:
        return


def _give_back(directory: str, leaf: str) -> None:
    """Return from our leaf to the group we were started in, and leave that as it was."""
    if not os.path.isdir(leaf):
        return
    try:
        enabled = read(f"{directory}/cgroup.subtree_control").split()
        if enabled:
            write(f"{directory}/cgroup.subtree_control", " ".join("-" + controller for controller in enabled))
        _move_all(leaf, directory)
        os.rmdir(leaf)
    except OSError:
        pass  # another task is still below it


def _move_all(directory: str, to: str) -> None:
    for pid in read(f"{directory}/{PROCS}").split():
        try:
            write(f"{to}/{PROCS}", pid)
        except ProcessLookupError:
            pass


def limit(group: Mapping[str, str], limits: Limits) -> list[Answer]:
    """Set the limits and read them back: a list of (field of Limits, asked, got or None, why not). See `limits`."""
    from .limits import limit

    return limit(group, limits)


def directories(group: Mapping[str, str], leaf: str = "") -> list[str]:
    """The different directories of a group, or of a leaf in it."""
    if not leaf:
        return list(dict.fromkeys(group.values()))
    return list(dict.fromkeys(leaf_group(group, leaf).values()))


def joins(group: Mapping[str, str], leaf: str) -> list[str]:
    """The files of a leaf that a process writes "0" to, to be in it.

    Moving a whole process waits, after a quiet moment, 10 to 15 ms for an RCU grace period, and holds up whoever makes
    or removes a group meanwhile. In a version 1 tree `tasks` moves one thread, and a process that has only one is
    spared that. In version 2 only whole processes move, so it is better to be born there: see `spawn.fork`.
    """
    unified = leaf_group(group, leaf).get("unified")
    files = [f"{each}/{PROCS if each == unified else 'tasks'}" for each in directories(group, leaf)]
    return files + [f"{group[controller]}/tasks" for controller in _FLAT if _is_flat(group, controller)]


def of_processors(group: Mapping[str, str]) -> list[str]:
    """The files to join what shares out the time of processors to a group, real time too: in version 1 alone."""
    return [f"{group['cpu']}/tasks"] if "cpu" in group else []


def leaf_group(group: Mapping[str, str], leaf: str) -> dict[str, str]:
    """A leaf as a group of its own, for `limit`."""
    return {name: f"{directory}/{leaf}" for name, directory in group.items() if not _is_flat(group, name)}


def _is_flat(group: Mapping[str, str], controller: str) -> bool:
    return controller in _FLAT and list(group.values()).count(group.get(controller, "")) == 1


def make_leaf(group: Mapping[str, str], leaf: str) -> None:
    """A group below a group, in every tree. Making it twice is no error. Raises OSError."""
    for directory in directories(group, leaf):
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            pass


def processes(directory: str) -> list[int]:
    """The pids in a group; none where it is gone."""
    try:
        return [int(pid) for pid in read(f"{directory}/{PROCS}").split()]
    except OSError:
        return []


def tells_when_empty(directories: Iterable[str]) -> bool:
    """Whether one of a group's trees says when its last process is gone: version 2 does."""
    return any(os.path.exists(f"{directory}/cgroup.events") for directory in directories)


_SIGKILL = 9  # what `signal` has for it costs 5 ms

#: Of killing one by one: each kills what those of the round before have forked meanwhile.
_ROUNDS, _ROUND = 100, 0.001  # seconds


def kill(directories: Iterable[str]) -> None:
    """SIGKILL to every process of a group, those it is forking too, and those that are frozen."""
    directories = list(directories)
    for directory in directories:
        try:
            write(f"{directory}/cgroup.kill", "1")
            return
        except OSError:
            continue  # version 1, or older than Linux 5.14
    for directory in directories:
        for _ in range(_ROUNDS):
            try:
                pids = read(f"{directory}/{PROCS}").split()
            except OSError:
                break
            if not pids:
                break
            for pid in map(int, pids):
                try:
                    os.kill(pid, _SIGKILL)
                except ProcessLookupError:
                    pass
            _release(directories)
            time.sleep(_ROUND)


def _release(directories: Iterable[str]) -> None:
    from .freezer import release

    for directory in directories:
        release(directory)


def remove(directories: Iterable[str]) -> bool:
    """Remove a group's directories. False while one of them still holds a process or a child group."""
    gone = True
    for directory in directories:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            pass
        except OSError:
            gone = False
    return gone


def remove_tree(group: Mapping[str, str]) -> bool:
    """Kill what a group and its leaves hold, and remove them and what `make` made above. False: not yet."""
    gone = True
    for directory in directories(group):
        try:
            leaves = [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for leaf in leaves:
            kill([leaf])
        gone = remove([*leaves, directory]) and gone
        above, _, name = directory.rpartition("/")
        try:
            os.rmdir(above)
        except OSError:
            pass  # it holds other tasks
        _give_back(os.path.dirname(above), f"{above}.{name}")
    return gone
