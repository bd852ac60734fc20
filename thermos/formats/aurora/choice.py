"""Which task of a file is meant, where it holds several: what `--job`, `--task` and `--instance` say."""

from __future__ import annotations


class Choice:
    """`job`: NAME, or with what goes before it, up to CLUSTER/ROLE/ENVIRONMENT/NAME. `task`: the name of a task."""

    __slots__ = ("instance", "job", "task")

    def __init__(self, job: str | None = None, task: str | None = None, instance: int | None = None) -> None:
        self.job = job
        self.task = task
        self.instance = instance
