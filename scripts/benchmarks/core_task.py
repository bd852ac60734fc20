"""A task as the core knows it, where only its graph matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thermos.core.task import Process, Resources, Task


def core_task(graph: Mapping[str, Sequence[str]], daemon: bool = False) -> Task:
    """`graph`: each process's name with those it comes after. A `daemon` runs again at once."""
    return Task(
        name="bench",
        processes=tuple(
            Process(
                name=name,
                cmdline="true",
                argv=None,
                max_failures=1,
                daemon=daemon,
                ephemeral=False,
                min_duration=0.0,
                final=False,
                after=tuple(after),
            )
            for name, after in graph.items()
        ),
        max_failures=1,
        max_concurrency=0,
        finalization_wait=30.0,
        user=None,
        resources=Resources(),
        env={},
    )
