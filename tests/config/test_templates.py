"""Templates: what is filled in, how often, and what is said where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thermos.config.templates import fill
from thermos.formats import Loaded, TaskFileError, load


def loaded(directory: Path, task: dict[str, Any], **bind: str) -> Loaded:
    file = directory / "task.json"
    file.write_text(json.dumps(task))
    return load(str(file), bind)


def one_process(**fields: Any) -> dict[str, Any]:
    return {"processes": [{"name": "a", "cmdline": "x"} | fields]}


@pytest.mark.parametrize(
    ("text", "bindings", "expected"),
    [
        ("plain", {}, "plain"),
        ("{{x}}", {"x": "1"}, "1"),
        ("a{{x}}b{{x}}c{{y}}", {"x": "1", "y": ""}, "a1b1c"),
        (
            "{{profile.cmd}} {{fib[4]}} {{first[Kent]}}",
            {"profile.cmd": "a", "fib[4]": "b", "first[Kent]": "c"},
            "a b c",
        ),
        ("{{docker.image[library/python][2.7]}}", {"docker.image[library/python][2.7]": "i"}, "i"),
        ("{{meta{{number}}}}", {"number": "1", "meta1": "found"}, "found"),
        ("{{thermos.ports[{{kind}}]}}", {"kind": "http", "thermos.ports[http]": "80"}, "80"),
        ("{{x}}", {"x": "{{y}}", "y": "{{z}}", "z": "end"}, "end"),
        ("{{&x}}", {"x": "1"}, "{{x}}"),
        ("{{&x&}}", {}, "{{x}}"),
        ("{{& .State }}", {}, "{{ .State }}"),
        ("{{x}}", {"x": "{{&y}}"}, "{{y}}"),
        ("{x} {{}} { {x} } ${x} {{{x}", {"x": "1"}, "{x} {{}} { {x} } ${x} {{{x}"),
        ("{{{x}}}", {"x": "1"}, "{1}"),
        ("é{{x}}", {"x": "ü"}, "éü"),
    ],
)
def test_templates_are_filled_in(text: str, bindings: dict[str, str], expected: str) -> None:
    filled = fill(text, bindings)
    assert filled.text == expected
    assert filled.unbound == []


def test_a_name_that_is_not_bound_stays_and_is_reported() -> None:
    filled = fill("{{x}} {{y}} {{x}} {{z{{x}}}}", {"y": "1"})
    assert filled.text == "{{x}} 1 {{x}} {{z{{x}}}}"
    assert filled.unbound == ["x"]
    assert filled.names == ["x", "y"]


@pytest.mark.parametrize("bindings", [{"x": "{{x}}"}, {"x": "{{y}}", "y": "{{x}}"}])
def test_a_text_that_never_settles_is_refused(bindings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="still change after 100 rounds"):
        fill("{{x}}", bindings)


@pytest.mark.parametrize("bindings", [{"x": "{{x}}{{x}}"}, {"x": "{{x}}-"}, {"x": "y" * 2_000_000}])
def test_a_text_that_grows_without_end_is_refused_before_it_fills_the_memory(bindings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"longer than 1048576 characters|still change"):
        fill("{{x}}", bindings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ x }}", "no spaces may stand in a template: write '{{x}}'; for that text itself write '{{& x }}'"),
        ("{{x }}", "write '{{x}}'"),
        ("{{thermos.ports[ http ]}}", r"write '{{thermos.ports\[http\]}}'"),
        ("{{.Names}}", "'{{.Names}}' is no template; for that text itself write '{{&.Names}}'"),
        ("{{b,c}}", "is no template"),
        ("{{1}}", "is no template"),
        ("{{a.}}", "is no template"),
        ("{{print\n$1}}", r"'{{print\\n\$1}}' is no template"),
        ("{{thermos.ports.http}}", r"write {{thermos.ports\[http\]}}, not {{thermos.ports.http}}"),
        ("{{thermos.task}}", "there is no {{thermos.task}}"),
        ("{{thermos.ports}}", "there is no {{thermos.ports}}"),
        ("{{thermos.ports[a][b]}}", "there is no"),
    ],
)
def test_what_is_no_template_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fill(text, {})


def test_templates_work_in_every_text_of_a_task(tmp_path: Path) -> None:
    task = loaded(
        tmp_path,
        {
            "name": "{{n}}-task",
            "user": "{{thermos.user}}",
            "env": {"WHERE": "{{mesos.hostname}}"},
            "processes": [
                {"name": "{{n}}-1", "cmdline": "run {{thermos.task_id}} {{mesos.instance}}"},
                {"name": "two", "argv": ["{{n}}", "{{&n}}"], "after": "{{n}}-1"},
                {"name": "three", "cmdline": "x", "after": ["two"]},
            ],
            "constraints": [{"order": ["{{n}}-1", "three"]}],
        },
    ).task({"n": "N", "thermos.user": "u", "mesos.hostname": "h", "thermos.task_id": "id", "mesos.instance": "7"})
    assert (task["name"], task["user"], task["env"]) == ("N-task", "u", {"WHERE": "h"})
    assert [process["name"] for process in task["processes"]] == ["N-1", "two", "three"]
    assert task["processes"][0]["cmdline"] == "run id 7"
    assert task["processes"][1]["argv"] == ["N", "{{n}}"]
    assert [process["after"] for process in task["processes"]] == [[], ["N-1"], ["two", "N-1"]]


def test_a_number_a_size_a_time_and_a_flag_may_come_from_a_template(tmp_path: Path) -> None:
    file = one_process(max_failures="{{n}}", min_duration="{{n}}s", daemon="{{yes}}")
    task = loaded(tmp_path, file | {"resources": {"cpu": "0.{{n}}", "ram": "{{n}}MiB"}}).task({"n": "3", "yes": "true"})
    process = task["processes"][0]
    assert (process["max_failures"], process["min_duration"], process["daemon"]) == (3, 3, True)
    assert (task["resources"]["cpu"], task["resources"]["ram"]) == (0.3, 3 << 20)


def test_the_name_of_a_task_is_its_first_processs_after_filling_in(tmp_path: Path) -> None:
    assert loaded(tmp_path, one_process(name="p{{i}}")).task({"i": "1"})["name"] == "p1"


def test_ports_are_those_that_templates_mention_in_their_order(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, one_process(cmdline="{{thermos.ports[http]}} {{thermos.ports[admin]}} {{thermos.ports[http]}}")
    )
    assert found.ports == ("http", "admin")
    assert loaded(tmp_path, one_process(cmdline="{{&thermos.ports[http]}}")).ports == ()


def test_a_port_named_by_a_binding_is_known_once_that_is_given(tmp_path: Path) -> None:
    file = one_process(cmdline="{{thermos.ports[{{kind}}]}} {{more}}")
    found = loaded(tmp_path, file, kind="http", more="{{thermos.ports[admin]}}")
    assert set(found.ports) == {"http", "admin"}
    task = found.task({"thermos.ports[http]": "1", "thermos.ports[admin]": "2"})
    assert task["processes"][0]["cmdline"] == "1 2"


def test_a_task_may_be_asked_for_again_with_other_bindings(tmp_path: Path) -> None:
    found = loaded(tmp_path, one_process(cmdline="{{x}}"))
    assert [found.task({"x": word})["processes"][0]["cmdline"] for word in "ab"] == ["a", "b"]


def test_names_that_nothing_is_bound_to_are_all_reported_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "task.yaml"
    file.write_text(
        "processes:\n  - name: a\n    cmdline: '{{levle}} {{thermos.task_id}} {{other}}'\n    max_failures: '{{n}}'\n"
    )
    with pytest.raises(TaskFileError) as caught:
        load(str(file)).task({"level": "1", "thermos.task_id": "a"})
    assert str(caught.value).splitlines() == [
        f"{file}:3:14: cannot use processes[0].cmdline: nothing is bound to {{{{levle}}}}, did you mean 'level'?",
        f"{file}:3:14: cannot use processes[0].cmdline: "
        "nothing is bound to {{other}}: give it with --bind other=VALUE",
        f"{file}:4:19: cannot use processes[0].max_failures: "
        "nothing is bound to {{n}}: give it with --bind n=VALUE",
    ]


@pytest.mark.parametrize(
    ("fields", "value", "message"),
    [
        ({"max_failures": "{{v}}"}, "many", "expected a whole number, got the text 'many'"),
        ({"max_failures": "{{v}}"}, "-1", "expected 0 to 2147483647, got -1"),
        ({"daemon": "{{v}}"}, "1", "expected true or false"),
        ({"name": "{{v}}"}, "a/b", "holds no '/'"),
        ({"name": "{{v}}"}, "", "it is empty"),
        ({"cmdline": "{{v}}"}, "a\0b", "zero byte"),
        ({"cmdline": "{{v}}"}, "a\ud800b", "surrogate"),
        ({"cmdline": "{{v}}"}, "x" * 131_072, "131072 bytes long"),
        ({"cmdline": "{{v}}"}, "{{ v }}", "no spaces"),
        ({"after": "{{v}}"}, "b", "there is no process 'b'"),
        ({"after": "{{v}}"}, "a", "'a' comes after itself"),
    ],
)
def test_a_bound_value_that_does_not_fit_is_refused(
    fields: dict[str, str], value: str, message: str, tmp_path: Path
) -> None:
    found = loaded(tmp_path, one_process(**fields))
    with pytest.raises(TaskFileError, match=message):
        found.task({"v": value})
    with pytest.raises(TaskFileError, match=message):
        loaded(tmp_path, one_process(**fields), v=value)


def test_two_names_that_turn_out_the_same_are_refused(tmp_path: Path) -> None:
    file = {"processes": [{"name": "{{x}}", "cmdline": "x"}, {"name": "b", "cmdline": "x"}]}
    found = loaded(tmp_path, file)
    assert found.task({"x": "a"})["name"] == "a"
    with pytest.raises(TaskFileError, match=r"duplicate name: processes\[0\] is called 'b' too"):
        found.task({"x": "b"})
