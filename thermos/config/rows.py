"""Records whose words in a file are not the core's: what was read, made into what the core wants."""

from __future__ import annotations

from .reading import UNKNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .reading import Reading
    from .wording import Path

_ENDS = {"code": "codes", "signal": "signals", "uptime_under": "under", "uptime_over": "over"}
_CHECK = {
    "exec": "command",
    "initial_interval_secs": "initial_interval",
    "interval_secs": "interval",
    "timeout_secs": "timeout",
    "max_consecutive_failures": "max_failures",
    "min_consecutive_successes": "min_successes",
}
LEAST_PERIOD = 0.01  # seconds; what is asked more often than that keeps a processor
_KINDS = ("http", "tcp", "exec")


def finish_commands(process: dict[str, Any], path: Path, reading: Reading) -> Any:
    """What a process, or the defaults of all, may not say of what is run."""
    argv = process.get("argv")
    if process.get("cmdline") is not None and argv is not None:
        reading.refuse(path, "it has both 'cmdline' and 'argv': keep one")
    if isinstance(argv, list) and argv[0] == "":
        reading.refuse((*path, "argv", 0), "it is empty, and should be the program to run")
    return process


def finish_rule(rule: dict[str, Any], path: Path, reading: Reading) -> Any:
    """`thermos.core.task.Rule`."""
    ends = rule.pop("on")
    if ends is UNKNOWN:
        return UNKNOWN
    said: dict[str, Any] = ends
    for name, value in said.items():
        rule[_ENDS.get(name, name)] = value
    rule["again"] = rule.pop("action")
    backoff: Any = rule.get("backoff", UNKNOWN)
    if backoff is not UNKNOWN and "max" in backoff:
        backoff["most"] = backoff.pop("max")
    if rule["again"] is False and ("budget" in rule or "backoff" in rule):
        reading.refuse(path, "with 'action: fail' there is no restart, and so neither 'budget' nor 'backoff'")
    return rule


def finish_check(check: dict[str, Any], path: Path, reading: Reading) -> Any:
    """`thermos.core.task.HealthCheck`."""
    kinds = [name for name in _KINDS if name in check]
    if len(kinds) != 1:
        got = f"it has {' and '.join(kinds)}" if kinds else "it has none"
        reading.refuse(path, f"expected one of {', '.join(_KINDS)}; {got}")
    for name in ("interval_secs", "timeout_secs"):
        seconds: Any = check.get(name, UNKNOWN)
        if seconds is not UNKNOWN and seconds < LEAST_PERIOD:
            reading.refuse((*path, name), f"expected at least {LEAST_PERIOD * 1000:g}ms", relation=True)
    command: Any = check.get("exec", UNKNOWN)
    if command is not UNKNOWN and len(command) != 1:
        reading.refuse(
            (*path, "exec"), "expected either 'cmdline' (run by bash) or 'argv' (a program and its arguments)"
        )
    return {_CHECK.get(name, name): value for name, value in check.items()}


def finish_volume(volume: dict[str, Any], path: Path, reading: Reading) -> Any:
    """`thermos.core.task.Volume`."""
    volume["read_only"] = volume.pop("mode")
    inside, outside = volume["container_path"], volume["host_path"]
    if isinstance(inside, str) and (not inside.strip("/") or _has_dots(inside)):
        reading.refuse((*path, "container_path"), "it should be a place below '/', without '.' and '..'", relation=True)
    if isinstance(outside, str) and _has_dots(outside):
        reading.refuse((*path, "host_path"), "it should be without '.' and '..'", relation=True)
    for name, place in (("container_path", inside), ("host_path", outside)):
        if isinstance(place, str) and not place.isprintable():
            reading.refuse((*path, name), "it holds a character that cannot be printed", relation=True)
    return volume


def _has_dots(path: str) -> bool:
    return not {".", ".."}.isdisjoint(path.split("/"))


def finish_io(limit: dict[str, Any], path: Path, reading: Reading) -> Any:
    if len(limit) == 1:
        reading.refuse(path, "it limits nothing: give read, write, read_iops or write_iops", relation=True)
    return limit


def finish_resources(resources: dict[str, Any], path: Path, reading: Reading) -> Any:
    """What one resource may not say twice."""
    limits: Any = resources.get("io", UNKNOWN)
    paths = [] if limits is UNKNOWN else [limit if limit is UNKNOWN else limit["path"] for limit in limits]
    _refuse_twice(paths, "io", (*path, "io"), ("path",), reading)
    return resources


#: What can be seen of a file system is furnished in a mount namespace.
_MOUNTED = ("rootfs", "read_only", "volumes", "devices", "tmp", "shm", "hidepid", "masks")


def finish_sandbox(sandbox: dict[str, Any], path: Path, reading: Reading) -> Any:
    """`thermos.core.task.Sandbox`."""
    volumes: Any = sandbox.get("volumes", UNKNOWN)
    places = [] if volumes is UNKNOWN else [v if v is UNKNOWN else v["container_path"] for v in volumes]
    _refuse_twice(places, "volumes", (*path, "volumes"), ("container_path",), reading)
    devices: Any = sandbox.get("devices", UNKNOWN)
    if devices is not UNKNOWN:
        _refuse_twice(devices, "devices", (*path, "devices"), (), reading)
        for number, device in enumerate(devices):
            if isinstance(device, str) and _has_dots(device):
                reading.refuse((*path, "devices", number), "it should be without '.' and '..'", relation=True)
    namespaces: Any = sandbox.get("namespaces", {})
    if namespaces is UNKNOWN:
        return sandbox
    for missing, needed_by in (("mount", _MOUNTED), ("uts", ("hostname",))):
        for name in needed_by:
            if namespaces.get(missing) is False and name in sandbox:
                reading.refuse((*path, name), f"it takes a {missing} namespace: see 'namespaces'", relation=True)
    if namespaces.get("pid") is False and sandbox.get("hidepid") is True:
        reading.refuse((*path, "hidepid"), "it takes a pid namespace: see 'namespaces'", relation=True)
    return sandbox


def _refuse_twice(places: list[Any], what: str, path: Path, field: Path, reading: Reading) -> None:
    """One path that is named by two items of a list, in whichever spelling. `field`: where in an item it stands."""
    first: dict[str, int] = {}
    for number, place in enumerate(places):
        if isinstance(place, str):
            earlier = first.setdefault("/".join(filter(None, place.split("/"))), number)
            if earlier != number:
                reading.refuse((*path, number, *field), f"{what}[{earlier}] is there already", relation=True)


def finish_task(task: dict[str, Any], path: Path, reading: Reading) -> Any:
    """`thermos.core.task.Task`."""
    resources, sandbox = task["resources"], task.get("sandbox", {})
    if resources is not UNKNOWN and sandbox is not UNKNOWN:
        for name in ("egress", "ingress"):
            if name in resources and sandbox.get("network") not in ("private", UNKNOWN):
                why = "it takes a network of the task's own: 'network: private' in 'sandbox'"
                reading.refuse((*path, "resources", name), why, relation=True)
    return task
