"""From what a task file asks of its sandbox to what its keeper carries out: the setting, made once by `run`.

The setting is plain values in a file beside the task, so that every later keeper makes the same sandbox:

    plan        the namespaces and what is seen through them, as `sandbox.plan` says it
    privileges  for all processes: steps of `sandbox.privileges`; for some of them by their number, others
    network     the request for a network of its own, or None
    parts       what the task file says of parts of the sandbox
    changes     whether there is a directory for what the task changes in its root
"""

from __future__ import annotations

import marshal
import os

from sandbox.cgroups.controllers.memory import size
from sandbox.cgroups.tree import of_processors
from sandbox.plan import plan, to_words
from sandbox.privileges import table
from sandbox.privileges.asked import Landlock, Privileges
from sandbox.privileges.kind import Kernel, Refused
from sandbox.spec import Root, Spec, Users, Volume
from thermos import paths
from thermos.config.schema import PRIVILEGES

from .accept import CannotAccept, cannot_enforce
from .limits import row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .accept import User
    from .limits import Row

#: Namespaces every task gets where the host can give them and the task does not say otherwise.
DEFAULT_NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup")

#: What host ids stand for those of a user namespace: the first ones that systemd keeps for containers, and that no
#: account has (https://systemd.io/UIDS-GIDS).
FIRST_ID, IDS = 524288, 65536

#: Beside the directory of a task's own changes, while it is being made.
REHEARSAL = "rehearsal"


class Setting:
    """`words`: for the file. `parts`: asked versus got, what was asked of each part that the keeper makes.
    `rows`: of what is known already."""

    __slots__ = ("parts", "rows", "words")

    def __init__(self, words: dict[str, Any], parts: dict[str, str], rows: list[Row]) -> None:
        self.words = words
        self.parts = parts
        self.rows = rows


def setting(
    task: Mapping[str, Any],
    *,
    root: str,
    task_id: str,
    holder: str,
    sandbox: str,
    place: str,
    mode: str,
    user: User,
    users: Mapping[str, User],
    ports: Mapping[str, int],
    image: Any = None,
    profile: object = None,
    group: Mapping[str, str] | None = None,
) -> Setting:
    """`place`: the task's directory while it is being made. `image`: what `task`'s rootfs is (see `sandbox.rootfs`).
    `profile`: of seccomp, decoded, where it is a file. `group`: the task's cgroups.

    Raises CannotAccept for what makes no sense, and under `strict` for what the task mentions and the host cannot
    give.
    """
    asked: dict[str, Any] = task.get("sandbox", {})
    parts = _mentioned(asked)
    if "network" in parts:
        rates = [f"{name} {rate} bit/s" for name in _RATES if (rate := task["resources"].get(name))]
        parts["network"] = ", ".join((parts["network"], *rates))
    spec = _spec(asked, root, task_id, sandbox, image)
    strict = mode == "strict"
    made = plan(spec, tuple(parts) if strict else ())
    kernel = Kernel(os.uname().machine, os.uname().release, _landlock(asked))
    common = _privileges(asked, {}, profile)
    steps = _steps(common, kernel, user)
    everyone = _rows(common, kernel, user)
    own, others = _of_processes(task, kernel, user, users, profile, everyone)
    rows = [*everyone, *_not_mapped(asked), *others]
    words: dict[str, Any] = {
        "plan": to_words(made),
        "privileges": steps,
        "own": own,
        "network": _network(task, holder, ports) if asked.get("network") == "private" else None,
        "parts": parts,
        "changes": image is not None and not asked.get("read_only"),
    }
    if strict:
        lacking = [each for each in rows if each["got"] is None and _is_asked(each["what"], asked)]
        if lacking:
            _refuse([(each["what"], each["why_not"]) for each in lacking], asked)
        _try_privileges(task, own, steps, user, users, group or {})
        if parts:
            _look_for_targets(spec, asked)
    required = tuple(parts) if strict else ("root",) if image is not None else ()
    if required:
        if spec.sandbox and not os.path.isdir(sandbox):
            spec.sandbox = place
        changes = f"{place}/{REHEARSAL}" if words["changes"] else ""
        failed = _rehearse_with_changes(spec, required, image, changes) if changes else _rehearse(spec, required)
        if failed is not None:
            _refuse([failed], asked)
    if strict and words["network"] is not None:
        _try_network(words["network"], asked)
    return Setting(words, parts, rows)


def write(directory: str, words: Mapping[str, Any]) -> None:
    """Raises OSError."""
    fd = os.open(f"{directory}/{paths.SETTING}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(marshal.dumps(dict(words)))


# -- what is seen


def _spec(asked: Mapping[str, Any], root: str, task_id: str, sandbox: str, image: Any) -> Spec:
    wanted: Mapping[str, bool] = asked.get("namespaces", {})
    names = [name for name in DEFAULT_NAMESPACES if wanted.get(name, True)]
    names += [name for name in ("time", "user") if wanted.get(name, False)]
    if asked.get("network", "host") != "host":
        names.append("net")
    alone = os.geteuid() != 0
    if alone and wanted.get("user", True) and "user" not in names:
        names.append("user")  # without it a plain user gets none of the others
    users = None
    if "user" in names:
        users = Users.one(os.geteuid(), os.getegid()) if alone else Users.range(FIRST_ID, IDS)
    mounts = "mount" in names
    foreign = image is not None
    roots = dict.fromkeys(map(os.path.realpath, (root, paths.default_root())))
    hidden = tuple(path for path in roots if path != "/")
    if asked.get("read_only", True) and not foreign:
        hidden += ("/run",)  # sockets and FIFOs of the host's: that they cannot be written keeps nobody from talking
    volumes = [
        Volume(
            each["host_path"],
            each["container_path"],
            each["read_only"],
            each.get("recursive", True),
            each.get("id_mapped", False),
        )
        for each in asked.get("volumes", ())
    ]
    if foreign:
        volumes += _names_for(asked)
    return Spec(
        names,
        hostname=asked.get("hostname"),
        users=users,
        clocks=(0.0, 0.0) if "time" in names else None,
        sandbox=os.path.realpath(sandbox) if mounts else None,
        sandbox_id_mapped=users is not None and not alone,
        root=_root(asked, root, task_id, image) if foreign else None,
        read_only=asked.get("read_only", not foreign) and mounts,
        volumes=volumes,
        tmp=mounts,
        tmp_size=asked.get("tmp"),
        shm_size=asked.get("shm"),
        dev=mounts,
        devices=asked.get("devices", ()),
        masks=asked.get("masks", True) and mounts,
        hidepid=asked.get("hidepid", False),
        hide=hidden if mounts else (),
        keep=_of_names(asked) if mounts and "/run" in hidden else (),
    )


def _of_names(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """What /etc/resolv.conf leads to: services of the host talk in /run, and the names of others are asked there."""
    to = os.path.dirname(os.path.realpath("/etc/resolv.conf"))
    return (to,) if to.startswith("/run/") and asked.get("network") != "none" else ()


def _names_for(asked: Mapping[str, Any]) -> list[Volume]:
    """What says the names of hosts, in a root file system that does not know this one."""
    if asked.get("network") == "none":
        return []
    taken = [each["container_path"] for each in asked.get("volumes", ())]
    files = [path for path in ("/etc/resolv.conf", "/etc/hosts") if os.path.isfile(path) and path not in taken]
    return [Volume(os.path.realpath(path), path) for path in files]


def _root(asked: Mapping[str, Any], root: str, task_id: str, image: Any) -> Root:
    if asked.get("read_only"):
        return _in_memory(image)
    return _changed(image, f"{paths.task_dir(root, task_id)}/{paths.CHANGES}")


def _changed(image: Any, changes: str) -> Root:
    return Root(image.lower, f"{changes}/upper", f"{changes}/work")


def _in_memory(image: Any) -> Root:
    """Changes are only places to mount on."""
    return Root(image.lower, size=1 << 20)


def make_changes(path: str) -> None:
    """The directories of what a task changes in a root of its own. It may be set-uid: nobody else of this host gets at
    it. Raises OSError."""
    for name, mode in (("", 0o700), ("/upper", 0o755), ("/work", 0o700)):
        os.mkdir(path + name, mode)


def remove_changes(path: str) -> None:
    """Of a rehearsal, in which no program of anybody's ran."""
    try:
        os.chmod(f"{path}/work/work", 0o700)  # the kernel's own: not even its owner may list it
    except OSError:
        pass
    for directory, below, files in os.walk(path, topdown=False):
        for name in files:
            os.unlink(f"{directory}/{name}")
        for name in below:
            os.rmdir(f"{directory}/{name}")
    os.rmdir(path)


def _mentioned(asked: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a sandbox that a task file speaks of, and how it does."""
    parts: dict[str, str] = {}
    network = asked.get("network", "host")
    if network != "host":
        parts["net"] = network
        parts["loopback"] = "up"
    if network == "private":
        parts["network"] = network
    if "rootfs" in asked:
        parts["root"] = asked["rootfs"]
    if asked.get("read_only"):
        parts["read-only root"] = "read-only"
    for volume in asked.get("volumes", ()):
        mode = "RO" if volume["read_only"] else "RW"
        parts[f"volume {volume['container_path']}"] = f"{volume['host_path']} {mode}"
        if volume.get("id_mapped") and _has_several_ids(asked):
            parts[f"ids of volume {volume['container_path']}"] = "mapped"
    parts.update((f"device {path}", path) for path in asked.get("devices", ()))
    for name, targets in (("tmp", ("/tmp", "/var/tmp")), ("shm", ("/dev/shm",))):
        if name in asked:
            parts.update((target, size(asked[name])) for target in targets)
    if "hostname" in asked:
        parts["uts"], parts["hostname"] = "private", asked["hostname"]
    if asked.get("hidepid"):
        parts["/proc"] = "hidepid"
    if asked.get("masks"):
        parts["masks"] = "masked"
    parts.update((name, "private") for name, wanted in asked.get("namespaces", {}).items() if wanted)
    if _has_several_ids(asked):
        parts["ids of sandbox"] = "mapped"
    if any(name in asked for name in _NEEDING["mount"]):
        parts["mount"] = "private"
    return parts


def _has_several_ids(asked: Mapping[str, Any]) -> bool:
    return bool(asked.get("namespaces", {}).get("user")) and os.geteuid() == 0


def _not_mapped(asked: Mapping[str, Any]) -> list[Row]:
    """Volumes whose ids are to be mapped where there is nothing to map them to."""
    if _has_several_ids(asked):
        return []
    why = "the sandbox has no user namespace of several ids: sandbox.namespaces {user: true}, started by root"
    targets = [volume["container_path"] for volume in asked.get("volumes", ()) if volume.get("id_mapped")]
    return [row(f"ids of volume {target}", "mapped", None, why) for target in targets]


#: Fields that want a namespace of the task's own.
_NEEDING = {
    "mount": ("rootfs", "read_only", "volumes", "devices", "tmp", "shm", "hidepid", "masks"),
    "pid": ("hidepid",),
}

#: Where a task file asks for a part.
_FIELDS = {
    "net": "network",
    "loopback": "network",
    "network": "network",
    "root": "rootfs",
    "read-only root": "read_only",
    "/tmp": "tmp",
    "/var/tmp": "tmp",
    "/dev/shm": "shm",
    "uts": "hostname",
    "hostname": "hostname",
    "/proc": "hidepid",
    "masks": "masks",
    "seccomp": "seccomp",
}


def field_of(part: str) -> str:
    if part.startswith(("volume ", "ids of volume")):
        return f"sandbox.volumes ({part.rpartition('volume ')[2]})"
    if part.startswith("device "):
        return f"sandbox.devices ({part.removeprefix('device ')})"
    if part.startswith("landlock"):
        return "sandbox.landlock"
    what, _, process = part.partition(" of ")
    if process and what != "ids":
        return f"{_PROCESS_FIELDS.get(what.split(' ')[0], what)} of {process}"
    return f"sandbox.{_FIELDS[part]}" if part in _FIELDS else f"sandbox.namespaces.{'user' if 'ids' in part else part}"


_PROCESS_FIELDS = {"rlimit": "rlimits", "cpus": "affinity", "scheduling": "scheduler"}


def _look_for_targets(spec: Spec, asked: Mapping[str, Any]) -> None:
    """What is mounted in the sandbox directory is mounted on something, and nothing is made there for it."""
    for volume in spec.volumes:
        if f"{volume.target}/".startswith(f"{spec.sandbox}/") and not os.path.lexists(volume.target):
            _refuse([(f"volume {volume.target}", "it lies in the sandbox directory, and is not there")], asked)


def _rehearse(spec: Spec, required: tuple[str, ...]) -> tuple[str, str] | None:
    """Make the sandbox once, in a child that leaves nothing behind: the part that cannot be had, and why."""
    from sandbox.rehearse import rehearse

    return rehearse(plan(spec, required))


def _rehearse_with_changes(spec: Spec, required: tuple[str, ...], image: Any, changes: str) -> tuple[str, str] | None:
    """In a place beside that of the task's own changes: not every file system that holds a task can hold them."""
    try:
        make_changes(changes)
        try:
            spec.root = _changed(image, changes)
            failed = _rehearse(spec, required)
        finally:
            remove_changes(changes)
    except OSError as error:
        raise CannotAccept(73, f"cannot try the root file system in {changes}: {error.strerror}") from None
    if failed is None or failed[0] != "root":
        return failed
    spec.root = _in_memory(image)
    if _rehearse(spec, required) is not None:
        return failed
    why = "its file system cannot hold what a task changes in its root (an overlay itself, perhaps)"
    remedy = "choose another --root (in a container: on a volume), or read_only: true"
    return "root", f"{failed[1]}: where --root is, {why}; {remedy}"


def _try_network(network: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    from sandbox.network import probe

    for what, works, _, why, remedy in probe():
        limited = what.startswith("bandwidth")  # needed only where it is asked for
        if not works and (not limited or any(network["bandwidth"].values())):
            _refuse([("network", f"{what}: {why}{'; ' if remedy else ''}{remedy}")], asked)


def _refuse(lacking: list[tuple[str, str]], asked: Mapping[str, Any]) -> None:
    raise cannot_enforce((_asking(part, asked), "", why) for part, why in lacking)


def _asking(part: str, asked: Mapping[str, Any]) -> str:
    """The field that wants a part: a namespace may be there for another one's sake alone."""
    if part in asked.get("namespaces", {}):
        return f"sandbox.namespaces.{part}"
    wanting = [name for name in _NEEDING.get(part, ()) if name in asked]
    return f"sandbox.{wanting[0]}" if wanting else field_of(part)


# -- what may be done


def _privileges(asked: Mapping[str, Any], process: Mapping[str, Any], profile: object) -> Privileges:
    capabilities = process.get("capabilities")
    landlock: Mapping[str, Any] | None = asked.get("landlock")
    rules = None
    if landlock is not None:
        rules = Landlock(
            landlock.get("read"),
            landlock.get("write"),
            landlock.get("execute"),
            bind=landlock.get("bind"),
            connect=landlock.get("connect"),
            scoped=[name.replace("_", "-") for name in landlock.get("scope", ())],
        )
    return Privileges(
        capabilities_added=capabilities or (),
        capabilities_dropped=() if capabilities is None else ("ALL",),
        seccomp=asked.get("seccomp", "default") if profile is None else profile,
        landlock=rules,
        rlimits={name: ":".join(map(_limit, both)) for name, both in process.get("rlimits", {}).items()},
        oom_score_adj=process.get("oom_score_adj"),
        nice=process.get("nice"),
        ionice=process.get("ionice"),
        cpus=process.get("affinity"),
        scheduling=process.get("scheduler"),
    )


def _of_processes(
    task: Mapping[str, Any],
    kernel: Kernel,
    user: User,
    users: Mapping[str, User],
    profile: object,
    everyone: list[Row],
) -> tuple[dict[int, Any], list[Row]]:
    """Of processes with privileges of their own, or another user: by their numbers, the steps; and the rows that are
    not those of `everyone`. Raises CannotAccept for what makes no sense."""
    asked: Mapping[str, Any] = task.get("sandbox", {})
    own: dict[int, Any] = {}
    rows: list[Row] = []
    for number, process in enumerate(task["processes"]):
        who = users.get(process["name"], user)
        if any(name in process for name in PRIVILEGES) or who.uid != user.uid:
            privileges = _privileges(asked, process, profile)
            own[number] = _steps(privileges, kernel, who, process["name"])
            others = [each for each in _rows(privileges, kernel, who) if each not in everyone]
            rows += [{**each, "what": f"{each['what']} of {process['name']}"} for each in others]
    return own, rows


def _limit(number: int) -> str:
    return "unlimited" if number < 0 else str(number)


def _landlock(asked: Mapping[str, Any]) -> int:
    if "landlock" not in asked:
        return 0
    from sandbox.privileges.doing import landlock_version

    return landlock_version()


def _steps(privileges: Privileges, kernel: Kernel, user: User, process: str = "") -> Any:
    """Raises CannotAccept for what makes no sense."""
    try:
        return table.steps(privileges, kernel, root_user=user.uid == 0)
    except Refused as refused:
        of_all = refused.field.partition(".")[0] in ("seccomp", "landlock")
        field = f"sandbox.{refused.field}" if of_all else refused.field
        field += f" of {process}" if process and not of_all else ""
        raise CannotAccept(65, reasons=[(field, f"cannot use {field}: {refused.why}")]) from None


def _try_privileges(
    task: Mapping[str, Any],
    own: Mapping[int, Any],
    common: Any,
    user: User,
    users: Mapping[str, User],
    group: Mapping[str, str],
) -> None:
    """What processes ask for by name, tried in a child: refused before anything starts."""
    asked = [number for number in own if any(name in task["processes"][number] for name in PRIVILEGES)]
    if not asked and "landlock" not in task.get("sandbox", {}):
        return
    from sandbox.privileges import trial

    done: list[Any] = []
    for number in asked or [-1]:
        name = task["processes"][number]["name"] if number >= 0 else ""
        who = users.get(name, user)
        credentials = (who.uid, who.gid, tuple(who.groups)) if os.geteuid() == 0 else None
        groups = of_processors(group) if "scheduler" in task["processes"][number] else []
        attempt = (own.get(number, common), credentials, groups)
        if attempt in done:
            continue
        done.append(attempt)
        failed = trial.attempt(*attempt)
        if failed is not None:
            part, why = failed
            field = field_of(f"{part} of {name}" if name and not part.startswith("landlock") else part)
            # Nothing of this is left out under best-effort: the run would fail.
            raise CannotAccept(69, reasons=[(field, f"cannot enforce {field}: {why}")])


def _rows(privileges: Privileges, kernel: Kernel, user: User) -> list[Row]:
    missing = dict(table.lacking(privileges, kernel))
    said = dict(table.describe(privileges, root_user=user.uid == 0))
    rows = [row(what, asked, None if what in missing else asked, missing.get(what, "")) for what, asked in said.items()]
    return rows + [row(what, "asked for", None, why) for what, why in missing.items() if what not in said]


def _is_asked(what: str, asked: Mapping[str, Any]) -> bool:
    kind = what.partition(" ")[0]
    return " of " in what or kind in asked or (kind == "landlock" and "landlock" in asked)


# -- network

_RATES = ("egress", "ingress")


def _network(task: Mapping[str, Any], holder: str, ports: Mapping[str, int]) -> dict[str, Any]:
    from sandbox import network

    resources = task["resources"]
    publish = [
        {"host": number, "container": number, "protocol": protocol}
        for number in ports.values()
        for protocol in ("tcp", "udp")
    ]
    bandwidth = {name: resources.get(name) for name in _RATES}
    return network.up(holder, paths.NETWORKS, publish=publish, bandwidth=bandwidth)
