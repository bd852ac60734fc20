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
