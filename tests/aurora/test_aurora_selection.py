"""Which job or task of a file is meant, and what its names are bound to."""

from __future__ import annotations

import pytest
from running import document, task_of

from thermos.formats import TaskFileError
from thermos.formats.aurora.choice import Choice

JOBS = """
jobs = []
for cluster in ('east', 'west'):
  for stage in ('devel', 'prod'):
    jobs.append(Job(cluster=cluster, role='www', environment=stage, name='shop', task=SimpleTask(stage, 'true')))
jobs.append(Job(cluster='west', role='ops', environment='prod', name='something_{{else}}', task=SimpleTask('t', 'x')))
"""
TASKS = "export(SimpleTask('a', 'x'))\nexport({'name': 'b', 'processes': [{'name': 'p', 'cmdline': 'y'}]})\n"


def refused(text: str, dialect: str, choice: Choice, **bindings: str) -> str:
    with pytest.raises(TaskFileError) as caught:
        document(text, dialect, choice, **bindings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("job", "key"),
    [
        ("east/www/devel/shop", "east/www/devel/shop"),
        ("west/www/prod/shop", "west/www/prod/shop"),
        ("something_x", "west/ops/prod/something_x"),
        ("prod/something_x", "west/ops/prod/something_x"),
        ("ops/prod/something_x", "west/ops/prod/something_x"),
    ],
)
def test_a_job_is_picked_by_its_key_or_the_end_of_it(job: str, key: str) -> None:
    """CF-10: its name as bound."""
    assert document(JOBS, "aurora", Choice(job=job), **{"else": "x"}).aside["key"] == key


def test_a_job_that_is_alone_needs_no_name() -> None:
    """CL-1."""
    text = "jobs = [Job(cluster='c', role='r', environment='e', task=SimpleTask('t', 'x'))]"
    assert document(text, "aurora").aside["key"] == "c/r/e/t"


def test_a_job_is_picked_by_the_name_of_its_task() -> None:
    assert document(JOBS, "aurora", Choice(task="t"), **{"else": "x"}).aside["key"] == "west/ops/prod/something_x"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            Choice(),
            "name one with --job: it holds 5 jobs: east/www/devel/shop, east/www/prod/shop, west/www/devel/shop",
        ),
        (Choice(job="shop"), "name one with --job: it holds 4 jobs: east/www/devel/shop"),
        (Choice(job="prod/shop"), "name one with --job: it holds 2 jobs: east/www/prod/shop, west/www/prod/shop"),
        (Choice(job="shop2"), "there is no job 'shop2': it holds 5 jobs: east/"),
        (Choice(job="hop"), "there is no job 'hop'"),
        (Choice(job="a/east/www/prod/shop"), "--job is CLUSTER/ROLE/ENV/NAME, or the end of that, not"),
        (Choice(job="/shop"), "--job is CLUSTER/ROLE/ENV/NAME, or the end of that, not '/shop'"),
        (Choice(task="none"), "no job has a task 'none': it holds 5 tasks: 'devel' of east/www/devel/shop"),
        (Choice(task="prod"), "name one with --job: it holds 2 jobs: east/www/prod/shop, west/www/prod/shop"),
    ],
)
def test_a_choice_of_a_job_that_is_not_clear_says_what_there_is(choice: Choice, message: str) -> None:
    """CL-2."""
    assert f"task: cannot choose what to run: {message}" in refused(JOBS, "aurora", choice)


def test_a_task_is_picked_by_name() -> None:
    """CL-1."""
    assert document(TASKS, choice=Choice(task="b")).value["name"] == "b"
    assert document("export(SimpleTask('a', 'x'))").value["name"] == "a"


@pytest.mark.parametrize(
    ("text", "choice", "message"),
    [
        (TASKS, Choice(), "name one with --task: it holds 2 tasks: a, b"),
        (TASKS, Choice(task="c"), "there is no task 'c': it holds 2 tasks: a, b"),
        (TASKS * 2, Choice(task="a"), "their names are the same: it holds 2 tasks: a, a"),
        (TASKS, Choice(job="a"), "--job is for .aurora files; a .thermos file holds tasks: use --task"),
        ("x = 1", Choice(), "it exports no task: say export(TASK)"),
    ],
)
def test_a_choice_of_a_task_that_is_not_clear_says_what_there_is(text: str, choice: Choice, message: str) -> None:
    """CL-2."""
    assert refused(text, "thermos", choice) == f"task: cannot choose what to run: {message}"


def test_bindings_reach_whatever_is_below_and_those_of_the_file_go_before_them() -> None:
    text = (
        "p = Process(name='p', cmdline='{{profile.cmd}} {{list[0]}} {{level}}').bind(level='near')\n"
        "export(Task(processes=[p], max_failures='{{failures}}'))"
    )
    bound = {"profile.cmd": "run --fast", "list[0]": "zero", "level": "far", "failures": "7"}
    task = task_of(document(text, **bound))
    assert task["processes"][0]["cmdline"] == "run --fast zero near"
    assert task["max_failures"] == 7


def test_a_binding_of_what_is_no_name_is_refused() -> None:
    message = refused("export(SimpleTask('a', 'b'))", "thermos", Choice(), **{"x y": "1"})
    assert message == "task: cannot bind 'x y': a name is made of words, dots and [indices]"
