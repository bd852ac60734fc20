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
    "initial_interval_secs": "initial_interval",
    "interval_secs": "interval",
    "timeout_secs": "timeout",
    "max_consecutive_failures": "max_failures",
    "min_consecutive_successes": "min_successes",
}
_KINDS = ("http", "tcp", "exec")


def finish_rule(rule: dict[str, Any], path: Path, reading: Reading) -> Any:
    """`thermos.core.task.Rule`."""
    ends = rule.pop("on")
    if ends is UNKNOWN:
        return UNKNOWN
    rule.update((_ENDS.get(name, name), value) for name, value in ends.items())
    rule["again"] = rule.pop("action")
    backoff = rule.get("backoff")
    if isinstance(backoff, dict) and "max" in backoff:
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
    command = check.get("exec")
    if isinstance(command, dict) and len(command) != 1:
        reading.refuse(
            (*path, "exec"), "expected either 'cmdline' (run by bash) or 'argv' (a program and its arguments)"
        )
    return {_CHECK.get(name, name): value for name, value in check.items()}
