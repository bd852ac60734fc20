"""What Prometheus scrapes: collected when it asks, nothing in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import get_args

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from thermos.core.fold import Stage
from thermos.core.status import TaskStatus

from .tasks import Observed, Tasks
from .usage import Sampler

_Family = GaugeMetricFamily | CounterMetricFamily
_TASK = ("root", "task_id")
_PROCESS = (*_TASK, "process")


class Metrics:
    """The observer's registry."""

    def __init__(self, tasks: Tasks, sampler: Sampler) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self.requests = prometheus_client.Counter(
            "thermos_observer_requests", "Requests answered, by status", ("status",), registry=self._registry
        )
        prometheus_client.ProcessCollector(namespace="thermos_observer", registry=self._registry)
        self._registry.register(_OfTasks(tasks, sampler))

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything, and its content type, in the format the scraper's Accept header prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _OfTasks(Collector):
    """Counts of all tasks, and in detail those that have not ended."""

    def __init__(self, tasks: Tasks, sampler: Sampler) -> None:
        self._tasks = tasks
        self._sampler = sampler

    def describe(self) -> list[_Family]:
        return []  # else registering collects

    def collect(self) -> Iterator[_Family]:
        states = Counter(task.status.state for task in self._tasks if task.status)
        by_state = GaugeMetricFamily("thermos_tasks", "Tasks, by state", labels=("state",))
        for state in get_args(Stage):
            by_state.add_metric((state,), states[state])
        yield by_state
        unreadable = sum(bool(task.error) for task in self._tasks)
        yield GaugeMetricFamily("thermos_tasks_unreadable", "Tasks whose files are damaged or denied", unreadable)
        active = [(task, status) for task in self._tasks if not task.ended and (status := task.asked())]
        yield from self._of_tasks(active)
        yield from self._of_processes(active)

    def _of_tasks(self, active: list[tuple[Observed, TaskStatus]]) -> list[_Family]:
        info = GaugeMetricFamily("thermos_task_info", "1 per active task", labels=(*_TASK, "name", "user", "state"))
        supervised = GaugeMetricFamily("thermos_task_supervised", "1: somebody is in charge", labels=_TASK)
        cpu = CounterMetricFamily("thermos_task_cpu_seconds", "Processor time used", labels=_TASK)
        memory = GaugeMetricFamily("thermos_task_memory_bytes", "Memory held, page cache included", labels=_TASK)
        limit = GaugeMetricFamily("thermos_task_memory_limit_bytes", "Memory it may hold", labels=_TASK)
        pids = GaugeMetricFamily("thermos_task_pids", "Processes and threads", labels=_TASK)
        for task, status in active:
            labels = (task.root, task.task_id)
            info.add_metric((*labels, status.name, status.user, status.state), 1)
            supervised.add_metric(labels, status.supervised)
            usage = self._sampler.task(task)
            for family, value in (
                (cpu, usage.cpu),
                (memory, usage.memory),
                (limit, usage.memory_limit),
                (pids, usage.pids),
            ):
                if value is not None:
                    family.add_metric(labels, value)
        return [info, supervised, cpu, memory, limit, pids]

    def _of_processes(self, active: list[tuple[Observed, TaskStatus]]) -> list[_Family]:
        state = GaugeMetricFamily("thermos_process_state", "1: the state it is in", labels=(*_PROCESS, "state"))
        restarts = CounterMetricFamily("thermos_process_restarts", "Runs after the first", labels=_PROCESS)
        failures = CounterMetricFamily("thermos_process_failures", "Failed runs", labels=_PROCESS)
        for task, status in active:
            for process in status.processes:
                labels = (task.root, task.task_id, process.name)
                state.add_metric((*labels, process.state), 1)
                restarts.add_metric(labels, max(0, process.launches - 1))
                failures.add_metric(labels, process.failures)
        return [state, restarts, failures]
