"""Processes and tasks of no consequence but their shape, for the pretended world of `thermos.rehearsal`."""

from __future__ import annotations

from typing import Any

import msgspec

from thermos.core.task import Process, Resources, Task
from thermos.rehearsal.life import History, Supervisor, live, runs_of
from thermos.rehearsal.world import NEVER, Behaviour, Crash, Death, PretendedWorld

__all__ = [
    "NEVER",
    "Behaviour",
    "Crash",
    "Death",
    "History",
    "PretendedWorld",
    "Supervisor",
    "a_process",
    "a_task",
    "live",
    "runs_of",
]


def a_process(
    name: str,
    *,
    after: tuple[str, ...] = (),
    max_failures: int = 1,
    min_duration: float = 0.0,
    daemon: bool = False,
    ephemeral: bool = False,
    final: bool = False,
    **more: Any,
) -> Process:
    """A process of no consequence but its place in the graph."""
    process = Process(
        name=name,
        cmdline="true",
        argv=None,
        max_failures=max_failures,
        daemon=daemon,
        ephemeral=ephemeral,
        min_duration=min_duration,
        final=final,
        after=after,
    )
    return msgspec.structs.replace(process, **more) if more else process


def a_task(
    *processes: Process, max_failures: int = 1, max_concurrency: int = 0, finalization_wait: float = 30.0
) -> Task:
    return Task(
        name="task",
        processes=processes,
        max_failures=max_failures,
        max_concurrency=max_concurrency,
        finalization_wait=finalization_wait,
        user=None,
        resources=Resources(),
        env={},
    )
