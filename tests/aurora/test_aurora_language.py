"""The language itself, row by row: structs and their defaults, kinds of value, templates, recipes, Python 2."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pystachio
import pytest
from running import HERE, document, in_process, task_of

from thermos.formats import TaskFileError
from thermos.formats.aurora import python2, recipes, schema, walk

EMPTY = "unset"
REQUIRED = "required"
HTTP_CHECKER = {"endpoint": "/health", "expected_response": "ok", "expected_response_code": 0}
HEALTH = {
    "health_checker": {"http": HTTP_CHECKER},
    "initial_interval_secs": 15.0,
    "interval_secs": 10.0,
    "max_consecutive_failures": 0,
    "min_consecutive_successes": 1,
    "timeout_secs": 1.0,
}
LIFECYCLE = {
    "http": {
        "port": "health",
        "graceful_shutdown_endpoint": "/quitquitquit",
        "graceful_shutdown_wait_secs": 5,
        "shutdown_endpoint": "/abortabortabort",
        "shutdown_wait_secs": 5,
    }
}
UPDATE = {
    "batch_size": 1,
    "watch_secs": 45,
    "max_per_shard_failures": 0,
    "max_total_failures": 0,
    "rollback_on_failure": True,
    "wait_for_batch_completion": False,
    "sla_aware": False,
}

#: Every struct with every field: its default, or that it has none.
STRUCTS: dict[str, dict[str, Any]] = {
    "Resources": {"cpu": REQUIRED, "ram": REQUIRED, "disk": REQUIRED, "gpu": 0},
    "Constraint": {"order": EMPTY},
    "RotatePolicy": {"log_size": 100 << 20, "backups": 5},
    "Logger": {"destination": "file", "mode": "standard", "rotate": EMPTY},
    "Process": {
        "name": REQUIRED,
        "cmdline": REQUIRED,
        "resources": EMPTY,
        "max_failures": 1,
        "daemon": False,
        "ephemeral": False,
        "final": False,
        "min_duration": 5,
        "logger": EMPTY,
    },
    "Task": {
        "name": "{{processes[0].name}}",
        "processes": EMPTY,
        "constraints": [],
        "resources": EMPTY,
        "max_failures": 1,
        "max_concurrency": 0,
        "finalization_wait": 30,
        "user": EMPTY,
    },
    "ThermosContext": {"ports": EMPTY, "task_id": EMPTY, "user": EMPTY},
    "MesosContext": {"instance": REQUIRED, "hostname": REQUIRED},
    "HealthCheckConfig": HEALTH,
    "HealthCheckerConfig": {"http": HTTP_CHECKER, "shell": EMPTY},
    "HttpHealthChecker": HTTP_CHECKER,
    "ShellHealthChecker": {"shell_command": REQUIRED},
    "LifecycleConfig": {"http": EMPTY},
    "HttpLifecycleConfig": LIFECYCLE["http"],
    "Announcer": {"primary_port": "http", "portmap": {"aurora": "{{primary_port}}"}, "zk_path": EMPTY},
    "Container": {"docker": EMPTY},
    "Docker": {"image": REQUIRED, "parameters": []},
    "Mesos": {"image": EMPTY, "volumes": []},
    "Parameter": {"name": REQUIRED, "value": REQUIRED},
    "AppcImage": {"name": REQUIRED, "image_id": REQUIRED},
    "DockerImage": {"name": REQUIRED, "tag": REQUIRED},
    "Volume": {"container_path": REQUIRED, "host_path": REQUIRED, "mode": REQUIRED},
    "MesosTaskInstance": {
        "task": REQUIRED,
        "instance": REQUIRED,
        "role": REQUIRED,
        "environment": REQUIRED,
        "announce": EMPTY,
        "health_check_config": HEALTH,
        "lifecycle": EMPTY,
    },
    "Job": {
        "name": "{{task.name}}",
        "role": REQUIRED,
        "cluster": REQUIRED,
        "environment": REQUIRED,
        "task": REQUIRED,
        "contact": EMPTY,
        "instances": 1,
        "announce": EMPTY,
        "tier": EMPTY,
        "cron_schedule": EMPTY,
        "cron_collision_policy": "KILL_EXISTING",
        "update_config": UPDATE,
        "constraints": EMPTY,
        "metadata": [],
        "service": False,
        "max_task_failures": 1,
        "production": False,
        "priority": 0,
        "health_check_config": HEALTH,
        "lifecycle": LIFECYCLE,
        "task_links": EMPTY,
        "executor_config": {"name": "AuroraExecutor", "data": ""},
        "enable_hooks": False,
        "partition_policy": EMPTY,
        "sla_policy": EMPTY,
        "container": EMPTY,
    },
    "UpdateConfig": {**UPDATE, "pulse_interval_secs": EMPTY, "update_strategy": EMPTY},
    "QueueUpdateStrategy": {"batch_size": 1},
    "BatchUpdateStrategy": {"batch_size": 1, "autopause_after_batch": False},
    "VariableBatchUpdateStrategy": {"batch_sizes": REQUIRED, "autopause_after_batch": False},
    "PartitionPolicy": {"reschedule": True, "delay_secs": 0},
    "Metadata": {"key": REQUIRED, "value": REQUIRED},
    "ExecutorConfig": {"name": "AuroraExecutor", "data": ""},
    "PercentageSlaPolicy": {"percentage": REQUIRED, "duration_secs": REQUIRED},
    "CountSlaPolicy": {"count": REQUIRED, "duration_secs": REQUIRED},
    "CoordinatorSlaPolicy": {"coordinator_url": REQUIRED, "status_key": "drain"},
}


@pytest.mark.parametrize("name", STRUCTS)
def test_a_struct_has_these_fields_and_defaults(name: str) -> None:
    struct = getattr(schema, name)
    found = {}
    for field, signature in struct.TYPEMAP.items():
        default = EMPTY if signature.empty else plain(signature.default)
        found[field] = REQUIRED if signature.required else default
    assert found == STRUCTS[name]


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("Process.name", "String"),
        ("Process.max_failures", "Integer"),
        ("Process.daemon", "Boolean"),
        ("Resources.cpu", "Float"),
        ("Resources.ram", "Integer"),
        ("HealthCheckConfig.interval_secs", "Float"),
        ("Job.constraints", "StringStringMap"),
        ("ThermosContext.ports", "StringIntegerMap"),
        ("Task.processes", "ProcessList"),
        ("Job.task_links", "StringStringMap"),
        ("PercentageSlaPolicy.percentage", "Float"),
        ("VariableBatchUpdateStrategy.batch_sizes", "IntegerList"),
    ],
)
def test_a_field_is_of_this_kind(field: str, kind: str) -> None:
    struct, name = field.split(".")
    assert getattr(schema, struct).TYPEMAP[name].klazz.__name__ == kind


def test_a_service_is_a_job_that_never_ends_and_other_names_are_the_same_things() -> None:
    assert schema.Service.service().get() is True
    assert schema.MesosJob is schema.Job
    assert plain(schema.DisableLifecycle) == {}
    assert plain(schema.DefaultLifecycleConfig) == LIFECYCLE
    sizes = (schema.BYTES, schema.KB, schema.MB, schema.GB, schema.TB)
    assert sizes == (1, 1 << 10, 1 << 20, 1 << 30, 1 << 40)


# What a file's names are.

PYSTACHIO = (
    "String Integer Float Boolean Enum List Map Struct Required Default Choice Empty Environment Ref Namable "
    "MustacheParser Type TypeCheck TypeFactory"
)
RECIPES = (
    "order SimpleTask SequentialTask combine_tasks concat_tasks java_options python_options Options Units Processes "
    "Tasks BYTES KB MB GB TB"
)
AURORA_ONLY = [name for name in STRUCTS if name in vars(schema)][list(STRUCTS).index("MesosContext") :]


def test_these_names_are_there_in_a_thermos_file_and_no_job() -> None:
    names = f"{PYSTACHIO} {RECIPES} Resources Constraint RotatePolicy Logger Process Task ThermosContext export include"
    text = f"present = [{', '.join(names.split())}]\nabsent = [n for n in {AURORA_ONLY!r} if n in globals()]\n"
    assert in_process(text + "export(SimpleTask('a', repr(absent)))").value["processes"][0]["cmdline"] == "[]"


def test_these_names_are_there_in_an_aurora_file() -> None:
    names = [*PYSTACHIO.split(), *RECIPES.split(), *STRUCTS, "MesosJob", "Service", "DisableLifecycle", "include"]
    text = f"present = [{', '.join(names)}, DefaultLifecycleConfig]\n"
    job = "jobs = [Job(cluster='c', role='r', environment='e', task=SimpleTask('a', 'b'))]"
    assert in_process(text + job, "aurora").value["name"] == "a"


@pytest.mark.parametrize(
    "line",
    [
        "from pystachio import *",
        "from apache.thermos.config.schema import *",
        "from apache.aurora.config.schema.base import Process, MB",
        "from __future__ import unicode_literals, print_function",
        "import os, sys, re, json, itertools",
    ],
)
def test_what_old_files_import_is_there(line: str) -> None:
    text = f"{line}\njobs = [Job(cluster='c', role='r', environment='e', task=SimpleTask('a', 'b'))]"
    assert in_process(text, "aurora").value["name"] == "a"


# Kinds of value.


def one(field: str, value: str) -> Any:
    """What a field of a process, given in the language, comes to."""
    return in_process(f"export(Task(processes=[Process(name='a', cmdline='b')(**{{{field!r}: {value}}})]))").value[
        "processes"
    ][0][field]


@pytest.mark.parametrize(
    ("field", "value", "meaning"),
    [
        ("max_failures", "3", 3),
        ("max_failures", "'3'", 3),
        ("max_failures", "1.5", 1),
        ("max_failures", "Integer(4)", 4),
        ("daemon", "True", True),
        ("daemon", "1", True),
        ("daemon", "0", False),
        ("daemon", "'TRUE'", True),
        ("daemon", "'1'", True),
        ("daemon", "'False'", False),
        ("daemon", "'0'", False),
        ("cmdline", "5", "5"),
        ("cmdline", "2.5", "2.5"),
        ("cmdline", "String('x')", "x"),
        ("min_duration", "'{{max_failures}}'", 1),
    ],
)
def test_a_value_is_made_what_its_field_takes(field: str, value: str, meaning: Any) -> None:
    assert one(field, value) == meaning
    assert type(one(field, value)) is type(meaning)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("max_failures", "'many'", "expected a whole number, got the text 'many'"),
        ("daemon", "'yes'", "expected true or false, got the text 'yes'"),
        ("max_failures", "'1.5'", "expected a whole number, got the text '1.5'"),
        ("min_duration", "[1]", "expected a whole number"),
        ("cmdline", "b'x'", "expected text"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(field: str, value: str, why: str) -> None:
    with pytest.raises(TaskFileError, match=rf"processes\[0\].{field}: {why}"):
        one(field, value)


def test_a_mapping_becomes_a_struct() -> None:
    text = "export(Task({'name': 't', 'processes': [{'name': 'a', 'cmdline': 'b', 'max_failures': '2'}]}))"
    assert in_process(text).value["processes"][0]["max_failures"] == 2


def test_a_mapping_becomes_the_first_kind_of_container_that_it_fits() -> None:
    """pystachio itself gives up on a mapping at the first kind that does not know a field."""
    found = in_process(job(more="container={'image': {'name': 'x', 'tag': 'y'}},"), "aurora")
    assert found.aside["job"]["container"] == {"image": {"name": "x", "tag": "y"}, "volumes": []}
    found = in_process(job(more="container={'image': 'python'},"), "aurora")
    assert found.aside["job"]["container"] == {"image": "python", "parameters": []}


def test_json_of_a_newer_struct_is_read_without_what_is_new() -> None:
    """CF-14."""
    text = (
        'task = Task.json_loads(\'{"name": "t", "color": "red",'
        ' "processes": [{"name": "a", "cmdline": "b"}], "resources": {"cpu": 1, "ram": 2, "disk": 3, "tpu": 4}}\')\n'
        "export(task)"
    )
    value = in_process(text).value
    assert (value["name"], value["max_failures"], value["resources"]) == ("t", 1, {"cpu": 1.0, "ram": 2, "disk": 3})


def test_a_struct_answers_as_pystachio_has_it() -> None:
    text = (
        "p = Process(name='a', cmdline='{{x}}')\n"
        "said = [p.has_logger(), p.has_name(), p.logger() is Empty, p.name().get(), p.check().ok(),\n"
        "  p(name='b').name().get(), p.bind(x='y').cmdline().get(), (p % {'x': 'z'}).cmdline().get(),\n"
        "  Task(processes=[p]).check().ok(), Process().check().message(), len(p.interpolate()[1])]\n"
        "export(SimpleTask('t', repr(said)))"
    )
    said = in_process(text).value["processes"][0]["cmdline"]
    assert said == ("[False, True, True, 'a', True, 'b', 'y', 'z', True, 'Process[cmdline] is required.', 1]")


# Templates.


@pytest.mark.parametrize(
    ("cmdline", "bound", "meaning"),
    [
        (
            "{{a}} {{b.c}} {{d[4]}} {{e[Kent]}}",
            "a='1', b={'c': 2}, d=List(Integer)([0, 1, 2, 3, 9]), e=Map(String, String)({'Kent': 'x'})",
            "1 2 9 x",
        ),
        ("{{metavar{{number}}}}", "metavar1='x', number=1", "x"),
        ("{{a}}", "a='{{b}}', b='{{c}}', c='deep'", "deep"),
        ("{{name}} {{self.name}}", "", "p p"),
        ("{{x}}", "x='near'", "near"),
        ("{{&x}} {{x}}", "x='1'", "{{x}} 1"),
        ("{{&thermos.task_id}} {{thermos.task_id}}", "", "{{thermos.task_id}} id"),
        ("{{thermos.ports[http]}} {{mesos.instance}} {{mesos.hostname}} {{thermos.user}}", "", "<http> 3 here me"),
        ("${x} {x} }}{{", "x='1'", "${x} {x} }}{{"),
        ("{{s.x}}{{s.y}}", "s=S(x=5)", "57"),
    ],
)
def test_a_template_is_filled_in(cmdline: str, bound: str, meaning: str) -> None:
    text = (
        "class S(Struct):\n  x = Required(Integer)\n  y = Default(Integer, 7)\n"
        f"p = Process(name='p', cmdline={cmdline!r}).bind({bound})\nexport(Task(processes=[p]))"
    )
    assert task_of(in_process(text))["processes"][0]["cmdline"] == meaning


def test_names_are_looked_up_from_the_inside_out() -> None:
    text = (
        "p = Process(name='p', cmdline='{{x}} {{y}} {{z}} {{max_concurrency}} {{w}}').bind(x='process')\n"
        "t = Task(name='t', processes=[p], max_concurrency=6, resources=Resources(cpu=1, ram=GB, disk=GB))\n"
        "t = t.bind(x='task', y='task')\n"
        "jobs = [Job(cluster='c', role='r', environment='{{z}}', task=t).bind(x='job', y='job', z='job')]"
    )
    assert in_process(text, "aurora", w="outside").value["processes"][0]["cmdline"] == "process task job 6 outside"


def test_what_a_job_is_called_is_known_below_it() -> None:
    """CF-12."""
    text = (
        "t = SimpleTask('t', '{{role}} {{cluster}} {{environment}} {{name}} {{mesos.role}} {{mesos.cluster}} '\n"
        "                    '{{thermos.user}} {{instances}}')\n"
        "jobs = [Job(cluster='c', role='r', environment='e', name='n', task=t)]"
    )
    found = in_process(text, "aurora")
    assert found.value["processes"][0]["cmdline"] == "r c e t r c r 1"
    assert found.value["user"] == "r"


@pytest.mark.parametrize("name", ["hello_world", "http_example", "docker", "family", "python2", "build"])
def test_the_walk_gives_the_values_that_pystachio_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one walk and pystachio's own `interpolate` agree on every field of every file here."""
    from thermos.formats.aurora.program import Program

    (file,) = (path for path in (HERE / "files").glob(f"{name}.*") if path.suffix in (".aurora", ".thermos"))
    program = Program(str(file), file.suffix[1:], lambda path: Path(path).read_text())
    program.run(file.read_text())
    things = program.names.get("jobs") or program.tasks
    for thing in things:
        plain = walk.Walk(lambda name: True).plain(thing)
        filled, _ = thing.interpolate()
        text = json.dumps(plain, sort_keys=True).replace("{{&", "{{")
        assert text == json.dumps(filled.get(), sort_keys=True)
        assert thing.check().ok()


# Recipes.


def plain(thing: Any) -> Any:
    return json.loads(json.dumps(thing.get()))


def process(name: str, **more: Any) -> Any:
    return schema.Process(name=name, cmdline="true", **more)


def names(task: Any) -> list[str]:
    return [each["name"] for each in plain(task.processes())]


def orders(task: Any) -> list[list[str]]:
    return [each["order"] for each in plain(task.constraints())]


def test_an_order_is_made_of_processes_and_names() -> None:
    """CF-1."""
    a, b = process("a"), process("b")
    for pair in itertools.product((a, "a", pystachio.String("a")), (b, "b")):
        assert [plain(each) for each in recipes.order(*pair)] == [{"order": ["a", "b"]}]
    assert [plain(each) for each in recipes.order(a, b) + recipes.Processes.order("c", a)] == [
        {"order": ["a", "b"]},
        {"order": ["c", "a"]},
    ]


@pytest.mark.parametrize("wrong", [None, ["a", "b"], 3, schema.Task()])
def test_an_order_of_anything_else_is_refused(wrong: Any) -> None:
    """CF-1."""
    with pytest.raises(ValueError, match="an order is made of processes and names of processes"):
        recipes.order(process("a"), wrong)


R = schema.Resources


@pytest.mark.parametrize(
    ("resources", "added", "highest"),
    [
        ([], (0, 0, 0, 0), (0, 0, 0, 0)),
        ([pystachio.Empty], (0, 0, 0, 0), (0, 0, 0, 0)),
        ([R(cpu=1.5, ram=2, disk=3)], (1.5, 2, 3, 0), (1.5, 2, 3, 0)),
        ([R(cpu=1, ram=20, disk=3, gpu=1), pystachio.Empty, R(cpu=2, ram=10, disk=4)], (3, 30, 7, 1), (2, 20, 4, 1)),
        ([R(cpu=1), R(ram=5)], (1, 5, 0, 0), (1, 5, 0, 0)),
    ],
)
def test_resources_are_added_or_the_highest_taken(
    resources: list[Any], added: tuple[float, ...], highest: tuple[float, ...]
) -> None:
    """CF-2."""
    fields = ("cpu", "ram", "disk", "gpu")
    assert plain(recipes.Units.resources_sum(*resources)) == dict(zip(fields, added, strict=True))
    assert plain(recipes.Units.resources_max(*resources)) == dict(zip(fields, highest, strict=True))


def test_a_simple_task_is_one_process() -> None:
    """CF-4."""
    assert recipes.Tasks.simple == recipes.SimpleTask
    assert plain(recipes.SimpleTask("name", "command")) | {"processes": 1} == {
        "name": "name",
        "processes": 1,
        "constraints": [],
        "resources": {"cpu": 1.0, "ram": 1 << 30, "disk": 1 << 30, "gpu": 0},
        "max_failures": 1,
        "max_concurrency": 0,
        "finalization_wait": 30,
    }


def test_a_sequential_task_orders_its_processes() -> None:
    task = recipes.SequentialTask(name="t", processes=[process("a"), process("b"), process("c")])
    assert orders(task) == [["a", "b", "c"]]
    with pytest.raises(ValueError, match="makes its own constraints"):
        recipes.SequentialTask(processes=[process("a")], constraints=recipes.order("a", "b"))


def two() -> tuple[Any, Any]:
    first = recipes.SequentialTask(
        name="first",
        processes=[process("a"), process("b")],
        resources=R(cpu=1, ram=100, disk=7),
        finalization_wait=10,
        max_failures=4,
    )
    second = recipes.SequentialTask(
        name="second",
        processes=[process("b"), process("c")],
        resources=R(cpu=2, ram=50, disk=3),
        finalization_wait=25,
        max_failures=6,
    )
    return first, second


def test_tasks_are_combined_side_by_side() -> None:
    """CF-4: a process that both have is there once."""
    task = recipes.combine_tasks(*two())
    assert names(task) == ["a", "b", "c"]
    assert orders(task) == [["a", "b"], ["b", "c"]]
    assert plain(task.resources()) == {"cpu": 3.0, "ram": 150, "disk": 10, "gpu": 0}
    assert (task.finalization_wait().get(), task.max_failures().get()) == (25, 6)
    assert recipes.combine_tasks(*two(), name="n", max_failures=9).max_failures().get() == 9
    assert plain(recipes.combine_tasks()) == plain(schema.Task())
    assert recipes.Tasks.combine == recipes.combine_tasks


def test_tasks_are_concatenated_one_after_another() -> None:
    first, second = two()
    third = recipes.SimpleTask("third", "true")
    task = recipes.concat_tasks(first, second, third)
    assert names(task) == ["a", "b", "c", "third"]
    between = [["a", "b"], ["a", "c"], ["b", "b"], ["b", "c"], ["b", "third"], ["c", "third"]]
    assert orders(task) == [["a", "b"], ["b", "c"], *between]
    assert plain(task.resources()) == {"cpu": 2.0, "ram": 1 << 30, "disk": 1 << 30, "gpu": 0}
    assert (task.finalization_wait().get(), task.name().get()) == (65, "third")
    assert plain(recipes.concat_tasks()) == plain(schema.Task())


def test_what_is_bound_to_a_task_stays_bound_when_tasks_are_made_into_one() -> None:
    a = schema.Task(name="a", processes=[schema.Process(name="a", cmdline="{{x}}")]).bind(x="1")
    b = schema.Task(name="b", processes=[schema.Process(name="b", cmdline="{{x}}")]).bind(x="2")
    assert [each["cmdline"] for each in plain(recipes.combine_tasks(a, b).processes())] == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "more", "java", "python"),
    [
        ([], {}, "", ""),
        (["a", "b", "cow"], {}, "-a -b -cow", "-a -b --cow"),
        ([], {"a": None, "cow": None}, "-a -cow", "-a --cow"),
        ([], {"a": 23}, "-a 23", "-a 23"),
        ([], {"a": 0, "b": "", "c": False}, "-a -b -c", "-a -b -c"),
        ([{"a": 1, "cow": "moo"}], {"z": "x"}, "-a 1 -cow moo -z x", "-a 1 --cow moo -z x"),
        ([{"b": 1}, "c", {"a": None}], {}, "-b 1 -c -a", "-b 1 -c -a"),
    ],
)
def test_options_are_written_as_programs_take_them(
    options: list[Any], more: dict[str, Any], java: str, python: str
) -> None:
    """CF-5."""
    assert recipes.java_options(*options, **more) == recipes.Options.java(*options, **more) == java
    assert recipes.python_options(*options, **more) == recipes.Options.python(*options, **more) == python


# Rules for a whole task or job.

JOB = "jobs = [Job(cluster='c', role={role!r}, environment={environment!r}, name={name!r}, {more} task={task})]"


def job(**given: str) -> str:
    return JOB.format(
        **{"role": "r", "environment": "e", "name": "n", "more": "", "task": "SimpleTask('a', 'b')"} | given
    )


@pytest.mark.parametrize("text", ["a", "A-b_c.9", "123", "-", "."])
@pytest.mark.parametrize("field", ["role", "environment", "name"])
def test_an_identifier_is_accepted(field: str, text: str) -> None:
    """CF-16."""
    assert in_process(job(**{field: text}), "aurora").aside["job"][field] == text


@pytest.mark.parametrize("text", ["", "a b", "a/b", "a@b", "a!", "a\nb", "{{nothing}}/x"])
@pytest.mark.parametrize("field", ["role", "environment", "name"])
def test_what_is_no_identifier_is_refused(field: str, text: str) -> None:
    """CF-16."""
    with pytest.raises(TaskFileError, match=f"cannot use job.{field}: "):
        in_process(job(**{field: text}), "aurora")


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("constraints={'host': 'limit:4', 'rack': '!a,b', 'dedicated': 'a,b'},", None),
        ("constraints={'host': 'limit:a'},", "job.constraints.host"),
        ("constraints={'host': 'limit:'},", "job.constraints.host"),
        ("cron_schedule='* * * * *', cron_collision_policy='CANCEL_NEW',", None),
        ("cron_collision_policy='RUN_OVERLAP',", None),
        ("cron_collision_policy='GARBAGE',", "job.cron_collision_policy"),
        ("metadata=[Metadata(key='a', value='b'), {'key': 'c', 'value': 'd'}],", None),
        ("metadata=[Metadata(key='a')],", "job.metadata[0]"),
    ],
)
def test_a_jobs_other_rules(more: str, wrong: str | None) -> None:
    """CF-16."""
    if wrong is None:
        assert in_process(job(more=more), "aurora").value["name"] == "a"
        return
    with pytest.raises(TaskFileError) as caught:
        in_process(job(more=more), "aurora")
    assert [problem.path for problem in caught.value.problems] == [wrong]


@pytest.mark.parametrize(
    ("resources", "wrong"),
    [
        ("cpu=0.1, ram=MB, disk=MB", None),
        ("cpu=0, ram=MB, disk=MB", "cpu"),
        ("cpu=-1, ram=MB, disk=MB", "cpu"),
        ("cpu=1, ram=0, disk=MB", "ram"),
        ("cpu=1, ram=MB - 1, disk=MB", "ram"),
        ("cpu=1, ram=MB, disk=0", "disk"),
        ("cpu=1, ram=MB, disk=MB - 1", "disk"),
    ],
)
def test_a_jobs_resources_are_positive(resources: str, wrong: str | None) -> None:
    """CF-11."""
    text = job(task=f"SimpleTask('a', 'b')(resources=Resources({resources}))")
    if wrong is None:
        assert in_process(text, "aurora").value["resources"]["ram"] == 1 << 20
        return
    with pytest.raises(TaskFileError) as caught:
        in_process(text, "aurora")
    assert [problem.path for problem in caught.value.problems] == [f"resources.{wrong}"]


def test_a_thermos_files_task_needs_no_resources() -> None:
    task = task_of(in_process("export(SimpleTask('a', 'b')(resources=Resources(cpu=0, ram=0, disk=0)))"))
    assert task["resources"] == {"cpu": None, "ram": None, "disk": None, "pids": None}
    assert in_process("export(Task(processes=[Process(name='a', cmdline='b')]))").value["resources"] == {}


@pytest.mark.parametrize("role", ["{{mesos.user}}", "{{mesos.role}}"])
def test_a_name_that_nothing_is_bound_to_is_refused_in_a_job(role: str) -> None:
    """CF-12: unbound, and bound."""
    text = job(task=f"SimpleTask('a', 'chown {role}')")
    if role == "{{mesos.role}}":
        assert in_process(text, "aurora").value["processes"][0]["cmdline"] == "chown r"
        assert (
            in_process(text.replace("mesos.role", "mesos.user"), "aurora", **{"mesos.user": "u"}).value["name"] == "a"
        )
        return
    with pytest.raises(TaskFileError, match=r"nothing is bound to \{\{mesos.user\}\}"):
        in_process(text, "aurora")


@pytest.mark.parametrize("name", [".hidden", "a/b", "/"])
def test_a_process_is_named_like_a_directory(name: str) -> None:
    with pytest.raises(TaskFileError, match="a name does not begin with"):
        task_of(in_process(f"export(Task(name='t', processes=[Process(name={name!r}, cmdline='b')]))"))


# Python 2.


@pytest.mark.parametrize(
    ("expression", "meaning"),
    [
        ("map(str, [1, 2]) + ['x']", "['1', '2', 'x']"),
        ("map(None, [1, 2], [3])", "[(1, 3), (2, None)]"),
        ("map(lambda a, b: a + b, [1, 2], [3, 4])[1]", "6"),
        ("filter(None, [0, 1, 2])[0]", "1"),
        ("filter(lambda c: c != 'b', 'abc')", "'ac'"),
        ("filter(None, (0, 1))", "(1,)"),
        ("zip([1, 2], 'ab')[1]", "(2, 'b')"),
        ("range(3) + [9]", "[0, 1, 2, 9]"),
        ("list(xrange(1, 7, 3))", "[1, 4]"),
        ("{'a': 1}.keys()[0]", "'a'"),
        ("{'a': 1}.values() + [2]", "[1, 2]"),
        ("{'a': 1}.items()[0]", "('a', 1)"),
        ("{'a': 1}.has_key('a'), {}.has_key('a')", "(True, False)"),
        ("dict(a=1).iteritems().next()", "('a', 1)"),
        ("sorted({'b': 1, 'a': 2}.iterkeys())", "['a', 'b']"),
        ("sum({'b': 1, 'a': 2}.itervalues())", "3"),
        ("7 / 2, -7 / 2, 7.0 / 2, 7 // 2", "(3, -4, 3.5, 3)"),
        ("unicode('x') + u'y', isinstance('x', basestring)", "('xy', True)"),
        ("long(5), isinstance(5, (int, long))", "(5, True)"),
        ("reduce(lambda a, b: a * b, [1, 2, 3, 4])", "24"),
        ("cmp(1, 2), cmp('b', 'a'), unichr(97)", "(-1, 1, 'a')"),
        ("'caf\\xc3'.decode('utf-8')[:3]", "'caf'"),
        ("0644", "420"),
        ("0o644, 0x1F", "(420, 31)"),
        ("10L * 2", "20"),
        ("`5` + `'x'`", "\"5'x'\""),
        ("1 <> 2", "True"),
        ("ur'a\\d'", "'a\\\\d'"),
        ("'%s' % (3 * 1024 * MB / MB)", "'3072'"),
    ],
)
def test_an_expression_means_what_it_meant_in_python_2(expression: str, meaning: str) -> None:
    assert in_process(f"export(SimpleTask('a', repr(({expression}))))").value["processes"][0]["cmdline"] == meaning


@pytest.mark.parametrize(
    "lines",
    [
        "print 'a', 'b'",
        "import sys\nprint >>sys.stderr, 'a'",
        "print",
        "try:\n  1/0\nexcept ZeroDivisionError, e:\n  str(e)",
        "try:\n  raise ValueError, 'x'\nexcept (ValueError, KeyError), e:\n  assert str(e) == 'x'",
        "exec 'x = 1'\nassert x == 1",
        "exec 'x = 1' in {}",
        "x = 7\nx /= 2\nassert x == 3",
        "def f():\n  x = 9\n  x /= 2\n  return x\nassert f() == 4",
        "from __future__ import division\nassert 1 / 2 == 0.5",
        "from __future__ import print_function, unicode_literals\nprint('x', end='')",
        "print 'mixed'; from os import path",
        "class A: pass\nassert A().__class__ is A",
        "assert [n for n in map(int, '12')] == [1, 2]",
    ],
)
def test_lines_of_python_2_run(lines: str) -> None:
    assert in_process(lines + "\nexport(SimpleTask('a', 'b'))").value["name"] == "a"


def test_lines_stay_where_they_are_when_syntax_is_translated() -> None:
    with pytest.raises(TaskFileError) as caught:
        in_process("print 'a'\nx = 0644\n\nexport(SimpleTask('a'))")
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(4, 8)]


def test_without_lib2to3_the_message_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Python 3.13, which has it no more."""
    monkeypatch.setitem(__import__("sys").modules, "lib2to3.pgen2.parse", None)
    with pytest.raises(SyntaxError, match="this Python has no lib2to3 any more"):
        python2.parse("print 'x'", "f")


# Size.


@pytest.mark.parametrize(
    ("text", "processes", "constraints"),
    [
        (
            "p = [Process(name='p%d' % n, cmdline='echo {{thermos.task_id}} {{x}}') for n in range(300)]\n"
            "export(SequentialTask(name='s', processes=p).bind(x='y'))",
            300,
            1,
        ),
        (
            "def part(name):\n"
            "  return Task(name=name, processes=[Process(name='%s%d' % (name, n), cmdline='x') for n in range(40)])\n"
            "export(concat_tasks(part('a'), part('b')))",
            80,
            1600,
        ),
    ],
)
def test_a_large_task_takes_well_under_a_second(text: str, processes: int, constraints: int) -> None:
    """Measured: 0.2 and 0.1 seconds more than a small one. The bound is processor time, on a machine with others."""
    import resource

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    value = document(text).value
    assert len(value["processes"]) == processes
    assert len(value["constraints"]) == constraints
    assert used() - before < 2
