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
    inside = volume["container_path"]
    if isinstance(inside, str) and (inside == "/" or ".." in inside.split("/")):
        reading.refuse((*path, "container_path"), "it should be a place below '/', without '..'", relation=True)
    return volume


#: What can be seen of a file system is furnished in a mount namespace.
_MOUNTED = ("rootfs", "read_only", "volumes", "devices", "tmp", "shm", "hidepid", "masks")


def finish_sandbox(sandbox: dict[str, Any], path: Path, reading: Reading) -> Any:
    """`thermos.core.task.Sandbox`."""
    _refuse_one_place_for_two(sandbox.get("volumes", UNKNOWN), (*path, "volumes"), reading)
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


def _refuse_one_place_for_two(volumes: Any, path: Path, reading: Reading) -> None:
    first: dict[str, int] = {}
    for number, volume in enumerate(() if volumes is UNKNOWN else volumes):
        place = UNKNOWN if volume is UNKNOWN else volume["container_path"]
        if isinstance(place, str) and first.setdefault(place.rstrip("/"), number) != number:
            why = f"volumes[{first[place.rstrip('/')]}] is there already"
            reading.refuse((*path, number, "container_path"), why, relation=True)


def finish_task(task: dict[str, Any], path: Path, reading: Reading) -> Any:
    """`thermos.core.task.Task`."""
    resources, sandbox = task["resources"], task.get("sandbox", {})
    if resources is not UNKNOWN and sandbox is not UNKNOWN:
        for name in ("egress", "ingress"):
            if name in resources and sandbox.get("network") not in ("private", UNKNOWN):
                why = "it takes a network of the task's own: 'network: private' in 'sandbox'"
                reading.refuse((*path, "resources", name), why, relation=True)
    return task
