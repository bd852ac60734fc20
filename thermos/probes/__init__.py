"""Kinds of health check: the table. A kind is imported for the first task that has one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thermos.core.task import HealthCheck

    from .kind import Attempt, Run


def begin(check: HealthCheck, run: Run) -> Attempt:
    """Ask once whether a run is well. Raises OSError where not even that can be done."""
    if check.http is not None:
        from . import http

        return http.begin(check.http, run)
    if check.tcp is not None:
        from . import tcp

        return tcp.begin(check.tcp, run)
    assert check.command is not None
    from . import exec

    return exec.begin(check.command, run)
