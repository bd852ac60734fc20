"""The arithmetic of health checks, which is Aurora's.

A run begins neither healthy nor unhealthy. The checks of its first `initial_interval` may fail without harm, and so
may `max_failures` in a row after that. It is healthy once `min_successes` in a row succeeded, and has a bounded number
of checks for that: those that are forgiven, and as many as both limits say. Once unhealthy, always unhealthy: such a
run is stopped.
"""

from __future__ import annotations

from math import ceil

from .fold import Checks
from .task import HealthCheck


def after(checks: Checks, check: HealthCheck, ok: bool, why: str = "") -> Checks:
    """What the checks of a run have come to with one more answer. The same value: it changes nothing."""
    if checks.failed:
        return checks
    forgiven = ceil(check.initial_interval / check.interval) if check.interval else 0
    most = forgiven + check.max_failures + check.min_successes
    attempts, failures, successes = checks.attempts, checks.failures, checks.successes
    passed: bool = checks.passed
    failed: bool = checks.failed
    if not passed and attempts > most:
        return Checks(attempts, failures, successes, passed, True, checks.why or "not enough successes in time")
    attempts = min(attempts + 1, most + 1)
    if ok:
        successes = min(successes + 1, check.min_successes)
        passed = passed or successes >= check.min_successes
        failures = 0
    else:
        successes = 0
        if attempts > forgiven:
            left = most - attempts
            failed = failed or (not passed and 1 < left < check.min_successes)
            failures += 1
            failed = failed or failures > check.max_failures
    now = Checks(attempts, failures, successes, passed, failed, checks.why if ok else why)
    return checks if now == checks else now
