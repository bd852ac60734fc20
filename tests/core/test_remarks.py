"""What is legal and may not be meant is remarked on; what is usual is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import a_process

from thermos.core.remarks import remarks
from thermos.core.task import Condition, HealthCheck, Process, Resources, Rule, Sandbox, Stop, Task, TcpCheck
from thermos.formats import load

EXAMPLES = Path(__file__).parents[2] / "examples"
CHECK = HealthCheck(tcp=TcpCheck("http"))


def a_task(*processes: Process, **changes: Any) -> Task:
    return msgspec.structs.replace(Task("remarked", processes, 1, 0, 30.0, None, Resources(), {}), **changes)


def changed(name: str, **changes: Any) -> Process:
    return msgspec.structs.replace(a_process(name), **changes)


WORK, WEB, BYE = a_process("work"), a_process("web", daemon=True), a_process("bye", final=True)
SIDECAR = a_process("sidecar", daemon=True, ephemeral=True)

REMARKED = {
    "all ephemeral": (a_task(SIDECAR, BYE), ("processes",)),
    "more failures than processes": (a_task(WORK, SIDECAR, max_failures=2), ("max_failures",)),
    "no time for finalizers": (a_task(WORK, BYE, finalization_wait=0.0), ("finalization_wait",)),
    "daemons in every place": (a_task(WORK, SIDECAR, max_concurrency=1), ("max_concurrency",)),
    "a daemon beside work": (a_task(WORK, WEB), ("processes", 1, "daemon")),
    "work after a daemon has started": (
        a_task(WEB, changed("work", conditions=(Condition("web", "started"),))),
        ("processes", 0, "daemon"),
    ),
    "a daemon as finalizer": (a_task(WORK, changed("bye", final=True, daemon=True)), ("processes", 1, "daemon")),
    "more time to stop than there is": (
        a_task(changed("a", stop=Stop(timeout=31.0))),
        ("processes", 0, "stop", "timeout"),
    ),
    "unhealthy without a check": (
        a_task(changed("a", restart=(Rule(unhealthy=True),))),
        ("processes", 0, "restart", 0),
    ),
    "memory for nothing": (a_task(WORK, resources=Resources(ram=256)), ("resources", "ram")),
    "a rule behind one for all": (
        a_task(changed("a", restart=(Rule(again=False), Rule(oom=True)))),
        ("processes", 0, "restart", 1),
    ),
}

USUAL = {
    "work": a_task(WORK, BYE),
    "work and a sidecar": a_task(WORK, SIDECAR, BYE),
    "a service": a_task(WEB, SIDECAR, BYE),
    "work, then a service": a_task(WORK, msgspec.structs.replace(WEB, after=("work",))),
    "work that a service waits for otherwise": a_task(
        WORK, msgspec.structs.replace(WEB, conditions=(Condition("work", "completed"),))
    ),
    "any number of failures": a_task(WORK, max_failures=0),
    "as many failures as processes": a_task(WORK, WORK, max_failures=2),
    "nothing but finalizers": a_task(BYE),
    "no finalizers and no time for them": a_task(WORK, finalization_wait=0.0),
    "a place beside the daemon": a_task(WORK, SIDECAR, max_concurrency=2),
    "one service, one place": a_task(WEB, max_concurrency=1),
    "all the time there is": a_task(changed("a", stop=Stop(timeout=30.0))),
    "a little memory": a_task(WORK, resources=Resources(ram=1 << 20)),
    "a check of what has no network but its own": a_task(changed("a", health=CHECK), sandbox=Sandbox(network="none")),
    "unhealthy with a check": a_task(changed("a", health=CHECK, restart=(Rule(unhealthy=True), Rule()))),
}


@pytest.mark.parametrize("case", REMARKED)
def test_a_remark_is_about_the_value_that_may_not_be_meant(case: str) -> None:
    task, path = REMARKED[case]
    assert [remark.path for remark in remarks(task)] == [path]


@pytest.mark.parametrize("case", USUAL)
def test_what_is_usual_is_not_remarked_on(case: str) -> None:
    assert remarks(USUAL[case]) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_there_is_nothing_to_remark_on_in_the_examples(path: Path) -> None:
    loaded = load(str(path))
    values = {"thermos.task_id": "t", "thermos.user": "u", "mesos.instance": "0", "mesos.hostname": "h"}
    ports = {f"thermos.ports[{name}]": "1" for name in loaded.ports}
    assert remarks(msgspec.convert(loaded.task(values | ports), Task)) == []
