"""What `run` and `resume` do: take a task in, or find it there, and become its keeper."""

from __future__ import annotations

import gc
import os
import select
import time

from thermos import paths
from thermos.config.schema import PRIVILEGES
from thermos.config.templates import port_variable
from thermos.formats import TaskFileError, load
from thermos.runtime import accept, limits

from .asked_file import beside, profile_of
from .kind import Cannot

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any

    from thermos.formats import Loaded
    from thermos.formats.aurora.choice import Choice
else:
    import _signal  # what `signal` wraps, without its enumerations: 5 ms


#: Seconds for somebody to read from a full pipe, before what we have to say is not said.
_READER_PATIENCE = 1.0


def run(given: dict[str, Any], supervisor: tuple[int, int]) -> int:
    """The task of a file. `supervisor`: one that waits for its charge (a socket, its pid), or (-1, 0)."""
    asked = _Asked(given)
    loaded = None
    try:
        loaded = load(given["file"], asked.bindings, _choice(given))
        task_id = given["task_id"]
        if task_id is None:
            task_id = accept.new_id(loaded.task(asked.values("", "", _no_ports(loaded)))["name"])
        accept.check_id(task_id)
        if os.path.isdir(paths.task_dir(asked.root, task_id)):
            return _go_on(asked, loaded, task_id)
        return _begin(asked, loaded, task_id, supervisor)
    except TaskFileError as error:
        raise Cannot(str(error), 65) from None
    except accept.CannotAccept as error:
        if loaded is None or not error.reasons:
            raise Cannot(str(error), error.status) from None
        task = loaded.task(asked.values(given["task_id"] or "", "", _no_ports(loaded)))
        problems = [loaded.about(_path(field, task), reason) for field, reason in error.reasons]
        raise Cannot("\n".join(map(str, problems)), error.status) from None


def _path(field: str, task: dict[str, Any]) -> tuple[str | int, ...]:
    """Of a field as `accept.CannotAccept` names it."""
    names, _, rest = field.partition(" ")
    path: tuple[str | int, ...] = tuple(names.split("."))
    if rest.startswith("of "):
        processes = [process["name"] for process in task["processes"]]
        path = ("processes", processes.index(rest.removeprefix("of ")), *path)
    elif names in ("sandbox.volumes", "sandbox.devices"):
        each = task["sandbox"][path[1]]
        path += ([f"({item if isinstance(item, str) else item['container_path']})" for item in each].index(rest),)
    return path


def _choice(given: dict[str, Any]) -> Choice | None:
    """Which task of the file."""
    if given["job"] is None and given["task"] is None:
        return None
    from thermos.formats.aurora.choice import Choice

    return Choice(given["job"], given["task"], given["instance"])


class _Asked:
    """The command line, with its pairs taken apart. Raises Cannot."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.root: str = given["root"]
        self.given = given
        self.bindings = dict(_pair(text, "--bind NAME=VALUE") for text in given["bind"])
        self.ports: dict[str, int] = {}
        for text in given["port"]:
            name, number = _pair(text, "--port NAME=NUMBER")
            if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
                raise Cannot(f"cannot use --port {text}: {number!r} is no port number from 1 to 65535", 2)
            self.ports[name] = int(number)

    def values(self, task_id: str, user: str, ports: dict[str, int]) -> dict[str, str]:
        """What the templates of a task file stand for."""
        return {
            "thermos.task_id": task_id,
            "thermos.user": user,
            "mesos.instance": str(self.given["instance"] or 0),
            "mesos.hostname": os.uname().nodename,
            **{f"thermos.ports[{name}]": str(number) for name, number in ports.items()},
        }


def _pair(text: str, shape: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Cannot(f"cannot read {text!r}: it should be {shape}", 2)
    return name, value


def _no_ports(loaded: Loaded) -> dict[str, int]:
    return dict.fromkeys(loaded.ports, 1)


def _begin(asked: _Asked, loaded: Loaded, task_id: str, supervisor: tuple[int, int]) -> int:
    given, root = asked.given, asked.root
    mode = given["isolation"]
    unbound = [name for name in asked.ports if name not in loaded.ports]
    if unbound:
        raise Cannot(f"cannot use --port {unbound[0]}=...: the task mentions no such port", 2)
    named = given["user"] or loaded.task(asked.values(task_id, "", _no_ports(loaded)))["user"]
    user = accept.user(named, "" if given["user"] else "user")
    os.umask(0o022)  # a stricter one would keep the task's user out of the sandbox
    if "THERMOS_FAULTS" in os.environ:
        from thermos.runtime import faults

        faults.install("run")
    try:
        image = _image(given, root, task_id, loaded.task(asked.values(task_id, user.name, _no_ports(loaded))))
    except accept.CannotAccept:
        if os.path.isdir(paths.task_dir(root, task_id)):  # somebody ran the same id at the same moment, and holds it
            return _go_on(asked, loaded, task_id)
        raise
    # From here on a signal waits for the keeper that we become, so that it ends the task and not only us.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM, _signal.SIGINT))
    try:
        place = accept.Place(root, task_id)
    except BaseException:
        _give_back(image, root, task_id)
        raise
    if os.path.isdir(paths.task_dir(root, task_id)):  # somebody ran the same id at the same moment, and was first
        place.discard()
        return _after_another(asked, loaded, task_id, image)
    ports: dict[str, int] = {}
    group: dict[str, str] = {}
    settled = False
    try:
        ports = accept.reserve_ports(root, task_id, loaded.ports, asked.ports)
        task = loaded.task(asked.values(task_id, user.name, ports))
        watched = {process["name"] for process in task["processes"] if "health" in process}
        watched |= {each["process"] for process in task["processes"] for each in process.get("conditions", ())}
        accept.check_descriptors(_at_once(len(task["processes"]), task["max_concurrency"], len(watched)))
        users = {
            process["name"]: accept.user(process["user"], f"user of {process['name']}")
            for process in task["processes"]
            if process.get("user")
        }
        group, rows = limits.isolate(place.group, mode, task["resources"], task["processes"])
        if mode == "strict":
            accept.refuse_what_is_missing(rows, ("processes",))
        sandbox = os.path.abspath(given["sandbox"]) if given["sandbox"] else paths.sandbox_dir(root, task_id)
        made = None
        if mode != "none":
            from thermos.runtime import sandboxing

            made = sandboxing.setting(
                task,
                root=root,
                task_id=task_id,
                holder=place.group,
                sandbox=sandbox,
                place=place.temporary,
                mode=mode,
                user=user,
                users=users,
                ports=ports,
                image=image,
                profile=profile_of(given["file"], loaded, task),
                group=group,
            )
            rows += made.rows
        rows += _not_enforced(task, mode) + accept.rows_of_aside(loaded.aside)
        limited = task["resources"]["disk"] is not None and mode != "none"
        settled = place.settle(
            {
                "task_id": task_id,
                "created_at": time.time(),
                "task": task,
                "sandbox": sandbox,
                "user": user.name,
                "uid": user.uid,
                "gid": user.gid,
                "groups": user.groups,
                "ports": ports,
                "instance": given["instance"] or 0,
                "isolation_mode": mode,
                "isolation": rows,
                "parts": made.parts if made is not None else {},
                "cgroups": group,
                "env": _environment(task, task_id, user.name, sandbox, ports, given["preserve_env"]),
                **(
                    {"users": {each.name: (each.uid, each.gid, each.groups) for each in users.values()}}
                    if users
                    else {}
                ),
            },
            user,
            users,
            made.words if made is not None else None,
            limited=limited,
        )
        if settled and limited:
            from thermos.runtime import ground

            try:
                ground.limit_disk(root, task_id, sandbox, task["resources"]["disk"], user, users)
            except BaseException:
                ground.unlimit_disk(root, task_id)
                raise
    except BaseException:
        _give_back(image, root, task_id)
        if settled:
            place.withdraw()
        _undo(place, group, root, task_id, ports)
        raise
    if not settled:  # somebody ran the same id at the same moment, and was first
        _undo(place, group, root, task_id, {})
        return _after_another(asked, loaded, task_id, image)
    if image is not None:
        image.close()
    return _take_on(given, root, task_id, "" if mode == "none" else sandbox, place.lock, supervisor)


def _image(given: dict[str, Any], root: str, task_id: str, task: dict[str, Any]) -> Any:
    """The root file system that a task asks for, if it does; before anybody has to wait for us."""
    reference = task.get("sandbox", {}).get("rootfs")
    if reference is None or given["isolation"] == "none":
        return None
    from thermos.runtime import images

    return images.prepare(_image_beside(given["file"], reference), root, task_id)


def _give_back(image: Any, root: str, task_id: str) -> None:
    if image is not None:
        from thermos.runtime import images

        images.give_back(image, root, task_id)


def _after_another(asked: _Asked, loaded: Loaded, task_id: str, image: Any) -> int:
    """Somebody ran the same id at the same moment, and was first: what the image is held for is his task."""
    if image is not None:
        image.close()
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGTERM, _signal.SIGINT))
    return _go_on(asked, loaded, task_id)


def _image_beside(file: str, reference: str) -> str:
    kind, colon, rest = reference.partition(":")
    if kind == "docker":
        return reference
    if colon and kind in ("oci", "docker-archive", "tarball", "directory"):
        return f"{kind}:{beside(file, rest)}"
    return beside(file, reference)


def _not_enforced(task: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """What a task asks for, and plain processes do not have."""
    if mode != "none":
        return []
    asked = [f"sandbox.{name}" for name in task.get("sandbox", {})]
    asked += [name for name in ("disk", "egress", "ingress") if task["resources"].get(name) is not None]
    for process in task["processes"]:
        asked += [f"{name} of {process['name']}" for name in PRIVILEGES if name in process]
    return [limits.row(what, "asked for", None, "isolation is none") for what in asked]


def _at_once(processes: int, max_concurrency: int, watched: int) -> int:
    """How many processes of a task may live at the same time; one that is watched takes the room of three."""
    most = max_concurrency or processes
    return min(processes, most) + 2 * watched


def _undo(place: accept.Place, group: dict[str, str], root: str, task_id: str, ports: dict[str, int]) -> None:
    place.discard()
    accept.release_ports(root, task_id, ports)
    if group:
        from sandbox.cgroups import tree

        tree.remove_tree(group)


def _environment(
    task: dict[str, Any], task_id: str, user: str, sandbox: str, ports: dict[str, int], preserve: bool
) -> dict[str, str]:
    """What every process of the task gets; the keeper adds THERMOS_PROCESS and THERMOS_RUN."""
    path = os.environ.get("PATH") if "rootfs" not in task.get("sandbox", {}) else None  # ours may not be there
    return {
        **(os.environ if preserve else {}),
        "HOME": sandbox,
        "LOGNAME": user,
        "USER": user,
        "PATH": path or "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        **task["env"],
        "THERMOS_TASK_ID": task_id,
        "THERMOS_SANDBOX": sandbox,
        **{port_variable(name): str(number) for name, number in ports.items()},
    }


def _take_on(
    given: dict[str, Any], root: str, task_id: str, sandbox: str, lock: int, supervisor: tuple[int, int] = (-1, 0)
) -> int:
    """Become the task's keeper, or start one that is detached."""
    if given["detach"]:
        if not accept.detach(lambda ready: accept.become_keeper(root, task_id, sandbox, lock, ready=ready)):
            raise Cannot(f"cannot supervise {task_id}: its supervisor did not start; thermos resume {task_id}", 70)
        if given["json"]:
            import json

            task_id = json.dumps({"task_id": task_id, "root": root})
        print(task_id)
        return 0
    follower = 0
    if given["json"]:
        follower = accept.follow_journal(root, task_id)
    else:
        _tell(f"{task_id}: {paths.task_dir(root, task_id)}")
    return accept.become_keeper(root, task_id, sandbox, lock, supervisor, follower=follower)


def _tell(text: str) -> None:
    """To whoever started us. There is a task from here on, and it depends on nobody who listens, or reads slowly."""
    try:
        if select.select((), (2,), (), _READER_PATIENCE)[1]:
            os.write(2, text.encode() + b"\n")
    except OSError:
        pass


def _go_on(asked: _Asked, loaded: Loaded, task_id: str) -> int:
    """The id is taken: by this very task, which is then resumed, or by another one."""
    import msgspec

    from thermos.checkpoint.tasks import read_accepted
    from thermos.core.task import Task

    accepted = read_accepted(asked.root, task_id)
    same = set(loaded.ports) == set(accepted.ports)
    same = same and all(accepted.ports.get(name) == number for name, number in asked.ports.items())
    if same:
        wanted = loaded.task(asked.values(task_id, accepted.user, accepted.ports))
        same = msgspec.convert(wanted, Task) == accepted.task
    if not same:
        raise Cannot(f"cannot use the task id {task_id}: another task has it, and ids are never used twice", 73)
    return resume(asked.given, asked.root, task_id)


def resume(given: dict[str, Any], root: str, task_id: str) -> int:
    """Take a task over, or stand by while somebody else is in charge; its exit status."""
    from thermos.checkpoint.tasks import read_accepted
    from thermos.core.state import EXIT_STATUS
    from thermos.runtime import takeover

    accepted = read_accepted(root, task_id)
    state = takeover.over(root, accepted)
    while state is None:
        try:
            task = accepted.task
            watched = {process.name for process in task.processes if process.health}
            watched |= {each.process for process in task.processes for each in process.conditions}
            accept.check_descriptors(_at_once(len(task.processes), task.max_concurrency, len(watched)))
            fd = takeover.take_lock(root, task_id)
        except accept.CannotAccept as error:
            raise Cannot(str(error), error.status) from None
        except takeover.CannotTakeOver as error:
            raise Cannot(str(error), 73) from None
        if fd >= 0 and (state := takeover.over(root, accepted)) is not None:
            os.close(fd)  # it ended meanwhile
            break
        if fd >= 0:
            _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM, _signal.SIGINT))  # as in _begin
            os.umask(0o022)
            try:
                takeover.limits_again(root, accepted)
            except accept.CannotAccept as error:
                raise Cannot(str(error), error.status) from None
            return _take_on(given, root, task_id, takeover.sandbox_of(root, accepted), fd)
        if given["detach"]:
            print(task_id)
            return 0
        _tell(f"{task_id}: somebody is in charge already; waiting for its end")
        gc.enable()  # it may take days
        state = takeover.stand_by(root, accepted) or takeover.over(root, accepted)
    _tell(f"{task_id}: {state.stage}: {state.reason}")
    return EXIT_STATUS[state.stage]
