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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox.spec import Limits

#: Version 1 controllers that a group is made in: those with limits, and the one that counts processor time.
_V1 = (*CONTROLLERS, "cpuacct")

PROCS = "cgroup.procs"


class CannotLimit(Exception):
    """The host cannot give a group, or a controller of it; the text says why."""


def read(path: str) -> str:
    """The stripped text of a kernel file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16).decode().strip()
    finally:
        os.close(fd)


def write(path: str, text: str) -> None:
    """One write to a kernel file. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def own() -> dict[str, str]:
    """The caller's own group: controller (or "unified") -> directory. Empty where no tree is mounted."""
    return _own(_text("/proc/self/cgroup"), _text("/proc/self/mountinfo"))


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
    group = {controller: f"{directory}/thermos/{name}" for controller, directory in own().items()}
    return {controller: path for controller, path in group.items() if os.path.isdir(path)}


def make(name: str) -> dict[str, str]:
    """A group `thermos/<name>` below the caller's own, in every tree there is. Making it twice is no error.

    Raises CannotLimit where not one tree can be written.
    """
    mine = own()
    group: dict[str, str] = {}
    reason = "no cgroup file system is mounted"
    if "unified" in mine and version(mine) == 2:
        _delegate(mine["unified"], name)
    for controller, directory in mine.items():
        try:
            path = f"{directory}/thermos/{name}"
            _make_dirs(path, directory)
            group[controller] = path
        except OSError as error:
            reason = f"cannot make a group in {directory}: {os.strerror(error.errno or 0)}"
    if not group:
        raise CannotLimit(reason)
    if version(group) == 2:
        _enable(f"{mine['unified']}/thermos")
        _enable(group["unified"])  # a leaf counts its own OOM kills and memory only with controllers of its own
    return group


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


def _delegate(directory: str, name: str) -> None:
    """Let children of the caller's own version 2 group have controllers.

    The kernel refuses that while the group itself holds processes (other than at the root): those of ours move
    into a leaf of their own beside the task's. Somebody else's are not ours to move, and then there are no limits:
    `limit` says why. `_give_back` undoes it.
    """
    try:
        _enable(directory)
        return
    except OSError as error:
        if error.errno != errno.EBUSY:
            return
    try:
        if _others(directory):
            return
        leaf = f"{directory}/thermos.{name}"
        os.mkdir(leaf, 0o755)
        _move_all(directory, leaf)
        _enable(directory)
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


def _others(directory: str) -> list[str]:
    """Pids of the processes in a group that are neither this one nor its children. 0: seen from no further in."""
    mine = {os.getpid(), *_children(os.getpid())}
    return [pid for pid in read(f"{directory}/{PROCS}").split() if int(pid) not in mine]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]
    except OSError:
        return []


def _enable(directory: str) -> None:
    there = read(f"{directory}/cgroup.controllers").split()
    wanted = [name for name in CONTROLLERS if name in there]
    enabled = read(f"{directory}/cgroup.subtree_control").split()
    missing = [name for name in wanted if name not in enabled]
    if missing:
        write(f"{directory}/cgroup.subtree_control", " ".join("+" + name for name in missing))


def limit(group: Mapping[str, str], limits: Limits) -> list[tuple[str, str, str | None, str]]:
    """Set the limits and read them back: a list of (controller, asked, got or None, why not)."""
    answers: list[tuple[str, str, str | None, str]] = []
    v = version(group) if group else 1
    for name, controller in CONTROLLERS.items():
        wish = (controller.v2 if v == 2 else controller.v1)(limits)
        if wish is None:
            continue
        directory = group.get("unified" if v == 2 else name)
        if directory is None:
            answers.append((name, wish.asked, None, f"this host has no {name} controller for us"))
            continue
        if v == 2 and name not in read(f"{directory}/cgroup.controllers").split():
            answers.append((name, wish.asked, None, _withheld(os.path.dirname(os.path.dirname(directory)), name)))
            continue

        def look(file: str, directory: str = directory) -> str:
            return read(f"{directory}/{file}")

        try:
            for file, text in wish.writes:
                write(f"{directory}/{file}", text)
            answers.append((name, wish.asked, f"{wish.got(look)} (cgroup v{v})", ""))
        except OSError as error:
            why = f"cannot write {error.filename or directory}: {os.strerror(error.errno or 0)}"
            answers.append((name, wish.asked, None, why))
    return answers


def _withheld(directory: str, controller: str) -> str:
    """Why the children of the caller's own version 2 group do not have a controller."""
    if controller not in read(f"{directory}/cgroup.controllers").split():
        return f"{directory} has no {controller} controller"
    others = _others(directory)
    if not others:
        return f"{directory} may not hand its {controller} controller on: cannot write its cgroup.subtree_control"
    return (
        f"{directory} holds other processes too (pid {', '.join(others[:3])}), and so cannot hand its {controller} "
        "controller on; start thermos in a cgroup of its own"
    )


def directories(group: Mapping[str, str], leaf: str = "") -> list[str]:
    """The different directories of a group, or of a leaf in it."""
    return [f"{directory}/{leaf}" if leaf else directory for directory in dict.fromkeys(group.values())]


def joins(group: Mapping[str, str], leaf: str) -> list[str]:
    """The files of a leaf that a process writes "0" to, to be in it.

    Moving a whole process waits, after a quiet moment, 10 to 15 ms for an RCU grace period, and holds up whoever makes
    or removes a group meanwhile. In a version 1 tree `tasks` moves one thread, and a process that has only one is
    spared that. In version 2 only whole processes move, so it is better to be born there: see `spawn.fork`.
    """
    unified = group.get("unified")
    return [f"{each}/{leaf}/{PROCS if each == unified else 'tasks'}" for each in dict.fromkeys(group.values())]


def leaf_group(group: Mapping[str, str], leaf: str) -> dict[str, str]:
    """A leaf as a group of its own, for `limit`."""
    return {controller: f"{directory}/{leaf}" for controller, directory in group.items()}


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


def kill(directories: Iterable[str]) -> None:
    """SIGKILL to every process of a group, those it is forking too."""
    directories = list(directories)
    for directory in directories:
        try:
            write(f"{directory}/cgroup.kill", "1")
            return
        except OSError:
            continue  # version 1, or older than Linux 5.14
    for directory in directories:
        for _ in range(100):
            try:
                pids = read(f"{directory}/{PROCS}").split()
            except OSError:
                break
            if not pids:
                break
            for pid in map(int, pids):
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            time.sleep(0.001)


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
