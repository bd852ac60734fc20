"""The functions that files make tasks with, beside the structs: orders, tasks out of tasks, options of programs."""

from __future__ import annotations

from itertools import pairwise

from pystachio import Empty, String

from .schema import Constraint, Process, Resources, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

_GB = 1 << 30


def _name(process: Any) -> Any:
    if isinstance(process, Process):
        return process.name()
    if isinstance(process, (str, String)):
        return process
    raise ValueError(f"an order is made of processes and names of processes, not of {process!r}")


def order(*processes: Any) -> list[Any]:
    """The constraint that these run one after another."""
    return [Constraint(order=[_name(process) for process in processes])]


class Units:
    """What becomes of the parts of tasks that are made into one."""

    @classmethod
    def optional_resources(cls, resources: Any) -> Any:
        return Resources(cpu=0, ram=0, disk=0, gpu=0) if resources is Empty else resources

    @classmethod
    def resources_sum(cls, *resources: Any) -> Any:
        return cls._resources(sum, resources)

    @classmethod
    def resources_max(cls, *resources: Any) -> Any:
        return cls._resources(lambda amounts: max(amounts, default=0), resources)

    @classmethod
    def _resources(cls, fold: Callable[[list[Any]], Any], resources: Iterable[Any]) -> Any:
        given = [cls.optional_resources(each) for each in resources]

        def folded(field: str) -> Any:
            amounts = [getattr(each, field)() for each in given]
            return fold([0 if amount is Empty else amount.get() for amount in amounts])

        return Resources(cpu=folded("cpu"), ram=folded("ram"), disk=folded("disk"), gpu=folded("gpu"))

    @classmethod
    def finalization_wait_sum(cls, waits: Iterable[Any]) -> int:
        return sum(0 if wait is Empty else wait.get() for wait in waits)

    @classmethod
    def finalization_wait_max(cls, waits: Iterable[Any]) -> int:
        return max((0 if wait is Empty else wait.get() for wait in waits), default=0)

    @classmethod
    def processes_merge(cls, tasks: Iterable[Any]) -> list[Any]:
        """All processes of these tasks, those that are equal once, in their order."""
        return list({process.get(): process for task in tasks for process in _processes(task)}.values())

    @classmethod
    def constraints_merge(cls, tasks: Iterable[Any]) -> list[Any]:
        return list({each.get(): each for task in tasks for each in _listed(task.constraints())}.values())


def _listed(items: Any) -> list[Any]:
    return [] if items is Empty else list(items)


def _processes(task: Any) -> list[Any]:
    return _listed(task.processes())


class Tasks:
    @classmethod
    def simple(cls, name: str, command: str) -> Any:
        """A task of one process."""
        return Task(
            name=name,
            processes=[Process(name=name, cmdline=command)],
            resources=Resources(cpu=1.0, ram=_GB, disk=_GB),
        )

    @classmethod
    def sequential(cls, *arguments: Any, **fields: Any) -> Any:
        """A task whose processes run one after another."""
        task = Task(*arguments, **fields)
        if _listed(task.constraints()):
            raise ValueError("a SequentialTask makes its own constraints: it is given none")
        return task(constraints=order(*_processes(task)))

    @classmethod
    def combine(cls, *tasks: Any, **fields: Any) -> Any:
        """The processes of all tasks, side by side; what else a task has comes from the last."""
        if not tasks:
            return Task(**fields)
        return _joined(
            tasks,
            {
                "constraints": Units.constraints_merge(tasks),
                "resources": Units.resources_sum(*(task.resources() for task in tasks)),
                "finalization_wait": Units.finalization_wait_max(task.finalization_wait() for task in tasks),
                **fields,
            },
        )

    @classmethod
    def concat(cls, *tasks: Any, **fields: Any) -> Any:
        """Tasks one after another: every process of one before every process of the next."""
        if not tasks:
            return Task(**fields)
        names = [[_name(process) for process in _processes(task)] for task in tasks]
        between = [
            Constraint(order=[first, then]) for earlier, later in pairwise(names) for first in earlier for then in later
        ]
        return _joined(
            tasks,
            {
                "constraints": Units.constraints_merge(tasks) + between,
                "resources": Units.resources_max(*(task.resources() for task in tasks)),
                "finalization_wait": Units.finalization_wait_sum(task.finalization_wait() for task in tasks),
                **fields,
            },
        )


def _joined(tasks: tuple[Any, ...], fields: Mapping[str, Any]) -> Any:
    return tasks[-1](**{"name": tasks[-1].name(), "processes": Units.processes_merge(tasks), **fields})


class Processes:
    order = staticmethod(order)


class Options:
    """Options of a command line: texts, mappings and keywords."""

    @classmethod
    def java(cls, *options: Any, **more: Any) -> str:
        return cls._written(options, more, lambda name: "-" + name)

    @classmethod
    def python(cls, *options: Any, **more: Any) -> str:
        return cls._written(options, more, lambda name: ("-" if len(name) == 1 else "--") + name)

    @classmethod
    def _written(cls, options: Iterable[Any], more: Mapping[str, Any], dashed: Callable[[str], str]) -> str:
        words: list[str] = []
        for option in (*options, more):
            if hasattr(option, "items"):
                words += [f"{dashed(name)} {value}" if value else dashed(name) for name, value in option.items()]
            else:
                words.append(dashed(str(option)))
        return " ".join(words)


SimpleTask = Tasks.simple
SequentialTask = Tasks.sequential
combine_tasks = Tasks.combine
concat_tasks = Tasks.concat
java_options = Options.java
python_options = Options.python
