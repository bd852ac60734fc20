"""From what a file defines to one task in our own words, and aside what it says beyond that.

`task` is what a YAML file would hold, for `thermos.config` to check. `aside` is everything else, as the file says it
and with its defaults:

    key         CLUSTER/ROLE/ENVIRONMENT/NAME                                        .aurora files have these four
    job         every field of the job but its task
    portmap     each name of the announcer's port map: its number, or the name of the port it stands for
    ports       names of the ports that a host has to find: those of the port map and those the task mentions
    task        `user` of an .aurora file's task, which runs as the job's role
    resources   all of the task's, those that are 0 too
    processes   by a process's name, what it says of `logger` and `resources`
"""

from __future__ import annotations

import re

from pystachio import Empty, Environment, Ref

from . import ports, schema
from .selection import KEY, Unclear, pick_job, pick_task
from .walk import Fault, Walk, fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .choice import Choice
    from .program import Program
    from .walk import Path

#: What the run knows, and no file has to bind.
_OF_THE_RUN = ("mesos.instance", "mesos.hostname")

_TASK_FIELDS = ("name", "max_failures", "max_concurrency", "finalization_wait", "constraints")
_PROCESS_FIELDS = ("name", "cmdline", "max_failures", "daemon", "ephemeral", "min_duration", "final")
_IDENTIFIER = r"[\w.\-]+"
_CRON_POLICIES = ("KILL_EXISTING", "CANCEL_NEW", "RUN_OVERLAP")
_MB = 1 << 20
_PORT = r"\{\{thermos\.ports\[([\w\-./]+)\]\}\}"


class Result:
    """`walk` knows where things are written, and what nobody wrote, by the path in `task`, in the job, in `aside`."""

    def __init__(self) -> None:
        self.task: dict[str, Any] = {}
        self.aside: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self.walk = Walk(_known)


def _known(name: str) -> bool:
    return name.startswith("thermos.") or name in _OF_THE_RUN


def of_thermos(program: Program, environment: Environment, choice: Choice) -> Result:
    """Raises Unclear."""
    if not program.tasks:
        raise Unclear("it exports no task: say export(TASK)")
    tasks = [task.bind(environment) for task in program.tasks]
    task = pick_task(tasks, lambda each: _text(each, "name"), choice)
    result = Result()
    plain = result.walk.plain(task)
    result.faults = result.walk.faults
    _take_task(plain, (), result)
    if "user" in plain:
        result.task["user"] = plain["user"]
    return result


def of_aurora(program: Program, environment: Environment, choice: Choice) -> Result:
    """Raises Unclear."""
    bound = [_with_old_names(job).bind(environment) for job in _jobs(program)]
    job = pick_job(bound, _key, _task_name, choice)
    job, resolved, faults = _with_ports(job)
    result = Result()
    plain = result.walk.plain(job, path=("job",))
    result.faults = faults + result.walk.faults
    result.aside["key"] = _key(job)
    result.aside["job"] = {name: value for name, value in plain.items() if name != "task"}
    if "task" in plain:
        _take_task(plain["task"], ("job", "task"), result)
        _check_resources(plain["task"], result)
    _take_container(plain.get("container") or {}, result)
    if plain.get("role"):
        result.task["user"] = plain["role"]
        _moved(("job", "role"), ("user",), result)
    _moved(("job",), ("aside", "job"), result)
    _check_job(plain, result)
    mentioned = re.findall(_PORT, repr(result.task))
    result.aside["portmap"] = resolved
    result.aside["ports"] = sorted(ports.to_find(resolved, mentioned))
    return result


def _task_name(job: Any) -> str:
    if not job.has_task():
        return ""
    return _text(job._schema_data["task"].in_scope(*Walk(_known).scopes_within(job, ())), "name")


def _jobs(program: Program) -> list[Any]:
    jobs = program.names.get("jobs")
    if jobs is None:
        raise Unclear("it defines no jobs: say jobs = [JOB, ...]")
    listed: list[Any] = list(jobs) if isinstance(jobs, (list, tuple)) else [None]  # pyright: ignore[reportUnknownArgumentType]
    if not all(isinstance(job, schema.Job) for job in listed):
        raise Unclear("its 'jobs' should be a list of Job")
    if not listed:
        raise Unclear("its list 'jobs' is empty")
    return listed


def _key(job: Any) -> str:
    return "/".join(_text(job, name) or "?" for name in KEY)


def _text(struct: Any, field: str) -> str:
    """One field's text for choosing by it, whatever else is wrong with the struct."""
    value = struct._schema_data[field]
    if value is Empty:
        return ""
    try:
        return fill(str(value.get()), value.scopes() + Walk(_known).scopes_within(struct, ()))[0]
    except Exception:  # the walk says what is wrong with it
        return str(value.get())


def _with_old_names(job: Any) -> Any:
    """Names that an executor would know, and that the job itself says."""
    return job.bind(
        Environment(
            {
                Ref.from_address("mesos.role"): "{{role}}",
                Ref.from_address("mesos.cluster"): "{{cluster}}",
                Ref.from_address("thermos.user"): "{{role}}",
            }
        )
    )


def _with_ports(job: Any) -> tuple[Any, dict[str, int | str], list[Fault]]:
    """A job whose port names are bound to what its announcer's port map makes of them."""
    if not job.has_announce():
        return job, {}, []
    walk = Walk(_known)
    announce = walk.plain(job._schema_data["announce"], walk.scopes_within(job, ()))
    portmap: dict[str, str] = announce.get("portmap") or {}
    if walk.faults:
        return job, {}, []  # the job's own walk says so
    try:
        resolved = ports.resolve(portmap)
    except ValueError as error:
        return job, {}, [Fault(("job", "announce", "portmap"), str(error))]
    names: dict[Any, str] = {}
    for name, end in resolved.items():
        if end != name and re.fullmatch(r"[\w\-./]+", name):
            names[Ref.from_address(f"thermos.ports[{name}]")] = (
                str(end) if isinstance(end, int) else f"{{{{thermos.ports[{end}]}}}}"
            )
    return job.bind(Environment(names)), resolved, []


def _take_task(plain: dict[str, Any], path: Path, result: Result) -> None:
    """The task in our words, and the places of what is in it."""
    task = result.task
    task.update((name, plain[name]) for name in _TASK_FIELDS if name in plain)
    task["constraints"] = [each for each in plain.get("constraints", []) if "order" in each]
    processes: list[dict[str, Any]] = []
    task["processes"] = processes
    left_over: dict[str, Any] = {}
    for number, process in enumerate(plain.get("processes", [])):
        processes.append({name: process[name] for name in _PROCESS_FIELDS if name in process})
        rest = {name: value for name, value in process.items() if name not in _PROCESS_FIELDS}
        if rest:
            left_over[str(process.get("name"))] = rest
            at = (*path, "processes", number)
            for field in rest:
                _moved((*at, field), ("aside", "processes", str(process.get("name")), field), result)
    resources = plain.get("resources", {})
    task["resources"] = {name: amount for name, amount in resources.items() if amount}
    # Such files were written for hosts whose files a task may write to as far as its user may.
    task["sandbox"] = {"read_only": False}
    if left_over:
        result.aside["processes"] = left_over
    if resources:
        result.aside["resources"] = resources
        _moved((*path, "resources"), ("aside", "resources"), result)
    if path and "user" in plain:
        result.aside["task"] = {"user": plain["user"]}
        _moved((*path, "user"), ("aside", "task", "user"), result)
    if path:
        _moved(path, (), result)


def _take_container(container: dict[str, Any], result: Result) -> None:
    """A job's image and volumes, in our words. Its parameters are docker's own, and stay aside."""
    at: Path = ("job", "container")
    if "docker" in container:
        container, at = container["docker"], (*at, "docker")
    sandbox: dict[str, Any] = result.task["sandbox"]
    image: Any = container.get("image")
    if isinstance(image, dict) and "image_id" in image:
        result.faults.append(Fault((*at, "image"), "images of Appc cannot be had any more; give a DockerImage"))
    elif image:
        name = image if isinstance(image, str) else f"{image['name']}:{image['tag']}"
        sandbox["rootfs"] = f"docker://{name}"
        _moved((*at, "image"), ("sandbox", "rootfs"), result)
    if container.get("volumes"):
        sandbox["volumes"] = container["volumes"]
        _moved((*at, "volumes"), ("sandbox", "volumes"), result)


def _moved(path: Path, to: Path, result: Result) -> None:
    """What is at `path` is at `to` as well."""
    spots, defaults, cut = result.walk.spots, result.walk.defaults, len(path)
    spots.update({(*to, *spot[cut:]): spots[spot] for spot in list(spots) if spot[:cut] == path})
    defaults.update([(*to, *each[cut:]) for each in defaults if each[:cut] == path])


def _check_resources(plain: Mapping[str, Any], result: Result) -> None:
    """Aurora's own rule: all of them, and whole megabytes."""
    resources = plain.get("resources")
    if resources is None:
        result.faults.append(Fault(("job", "task"), "missing field 'resources' of Task: cpu, ram and disk"))
        return
    for name, least, said in (
        ("cpu", 0.0, "more than 0"),
        ("ram", _MB, "at least 1 MiB"),
        ("disk", _MB, "at least 1 MiB"),
    ):
        amount = resources.get(name)
        if isinstance(amount, (int, float)) and not (amount >= least and amount > 0):
            result.faults.append(Fault(("job", "task", "resources", name), f"expected {said}, got {amount}"))


def _check_job(plain: Mapping[str, Any], result: Result) -> None:
    for name in ("role", "environment", "name"):
        text = plain.get(name)
        if isinstance(text, str) and not re.fullmatch(_IDENTIFIER, text):
            result.faults.append(Fault(("job", name), f"expected letters, digits, '_', '-' and '.', got {text!r}"))
    policy = plain.get("cron_collision_policy")
    if isinstance(policy, str) and policy not in _CRON_POLICIES:
        result.faults.append(
            Fault(("job", "cron_collision_policy"), f"expected one of {', '.join(_CRON_POLICIES)}, got {policy!r}")
        )
    constraints: dict[str, Any] = plain.get("constraints") or {}
    for name, text in constraints.items():
        if isinstance(text, str) and text.startswith("limit:") and not text[len("limit:") :].isdecimal():
            why = f"expected a whole number after 'limit:', got {text!r}"
            result.faults.append(Fault(("job", "constraints", name), why))
