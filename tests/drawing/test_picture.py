"""Layers, edges, and the chain that takes longest."""

from __future__ import annotations

import time

import msgspec
import pytest
from fakes import a_process
from graphs import a_task, chained, tasks, waiting
from hypothesis import HealthCheck, given, settings

from thermos.core.task import Condition, Task
from thermos.drawing import FORMATS, Paper, Picture, picture_of


def names(picture: Picture, numbers: tuple[int, ...]) -> list[str]:
    return [picture.nodes[number].name for number in numbers]


DIAMOND = (
    a_process("a"),
    a_process("slow", after=("a",)),
    a_process("quick", after=("a",)),
    a_process("quick-2", after=("quick",)),
    a_process("join", after=("slow", "quick-2")),
)


def test_a_process_is_in_the_layer_behind_all_it_waits_for() -> None:
    (plan,) = picture_of(a_task(*DIAMOND)).plans
    assert plan.layers == ((0,), (1, 2), (3,), (4,))
    assert plan.width == 2


def test_without_durations_the_longest_chain_is_that_of_the_most_steps() -> None:
    picture = picture_of(a_task(*DIAMOND))
    assert names(picture, picture.plans[0].critical) == ["a", "quick", "quick-2", "join"]
    assert (picture.total, picture.timed) == (4, False)


def test_with_durations_it_is_the_one_that_takes_longest() -> None:
    picture = picture_of(a_task(*DIAMOND), {"a": 1, "slow": 10, "quick": 2, "quick-2": 3, "join": 0.5})
    assert names(picture, picture.plans[0].critical) == ["a", "slow", "join"]
    assert (picture.total, picture.timed) == (11.5, True)


def test_who_waits_for_a_start_does_not_wait_for_the_end() -> None:
    picture = picture_of(a_task(a_process("db"), waiting("web", db="started")), {"db": 100, "web": 5})
    assert names(picture, picture.plans[0].critical) == ["db"]
    assert picture.total == 100


@pytest.mark.parametrize("on", ["completed", "failed", "succeeded"])
def test_who_waits_for_an_end_begins_after_it(on: str) -> None:
    picture = picture_of(a_task(a_process("db"), waiting("web", db=on)), {"db": 100, "web": 5})
    assert picture.total == 105


def test_the_chain_ends_with_a_process_that_the_task_waits_for() -> None:
    picture = picture_of(a_task(*chained("a", "b"), a_process("serve", after=("b",), ephemeral=True)))
    assert names(picture, picture.plans[0].critical) == ["a", "b"]


def test_finalizers_are_a_plan_of_their_own_behind_the_regular_one() -> None:
    finals = chained("f1", "f2", final=True)
    picture = picture_of(a_task(*finals, *chained("a", "b")), {"a": 1, "b": 2, "f1": 3, "f2": 4})
    assert [plan.name for plan in picture.plans] == ["regular", "final"]
    assert [names(picture, plan.critical) for plan in picture.plans] == [["a", "b"], ["f1", "f2"]]
    assert picture.total == 10


def test_each_pattern_that_is_waited_for_has_a_label_of_its_own() -> None:
    ready = msgspec.structs.replace(a_process("b"), conditions=(Condition("a", "log", "ready"),))
    other = msgspec.structs.replace(
        a_process("c"), conditions=(Condition("a", "log", "x{3}"), Condition("a", "started"))
    )
    again = msgspec.structs.replace(a_process("d"), conditions=(Condition("a", "log", "ready"),))
    picture = picture_of(a_task(a_process("a"), ready, other, again))
    assert picture.patterns == (("log:1", "a", "ready"), ("log:2", "a", "x{3}"))
    assert [edge.label for edge in picture.edges] == ["log:1", "log:2", "started", "log:1"]


@given(task=tasks(names=None))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_edge_leads_to_a_later_layer_and_no_layer_is_empty(task: Task) -> None:
    picture = picture_of(task)
    for edge in picture.edges:
        assert picture.nodes[edge.before].layer < picture.nodes[edge.after].layer
    assert all(layer for plan in picture.plans for layer in plan.layers)
    assert sorted(n for plan in picture.plans for layer in plan.layers for n in layer) == list(
        range(len(task.processes))
    )
    for plan in picture.plans:
        assert len(plan.critical) == len(plan.layers) or any(process.ephemeral for process in task.processes)


@pytest.mark.parametrize("form", ["dot", "mermaid", "ascii"])
def test_a_thousand_processes_are_drawn_in_less_than_a_second_of_a_processor(form: str) -> None:
    processes = [a_process("p0")]
    for number in range(1, 1000):
        before = sorted({number - 1, number // 2, number // 3} - {number})
        processes.append(a_process(f"p{number}", after=tuple(f"p{one}" for one in before)))
    task = a_task(*processes)
    began = time.process_time()  # what others do meanwhile does not count
    text = FORMATS[form](picture_of(task), Paper())
    assert time.process_time() - began < 1
    assert "p999" in text
