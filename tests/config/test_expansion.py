"""Includes, defaults and matrices: what they come to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thermos.core.task import Task
from thermos.formats import Loaded, TaskFileError, load


def loaded(directory: Path, text: str, **bind: str) -> Loaded:
    file = directory / "task.yaml"
    file.write_text(text)
    return load(str(file), bind)


def task_of(directory: Path, text: str, **bind: str) -> dict[str, Any]:
    task = loaded(directory, text, **bind).task({"thermos.task_id": "t"})
    msgspec.convert(task, Task)
    json.dumps(task)
    return task


def processes_of(directory: Path, text: str, **bind: str) -> dict[str, dict[str, Any]]:
    return {process["name"]: process for process in task_of(directory, text, **bind)["processes"]}


def refusal(directory: Path, text: str, **bind: str) -> str:
    with pytest.raises(TaskFileError) as caught:
        task_of(directory, text, **bind)
    return str(caught.value)


A = "processes: [{name: a, cmdline: x}]\n"


# Includes.


def test_what_a_file_says_lies_over_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'name = "base"\nmax_failures = 7\nenv = {A = "base", B = "base"}\nresources = {cpu = 1, ram = 1000}\n'
        '[[processes]]\nname = "setup"\ncmdline = "x"\n[[constraints]]\norder = ["setup", "a"]\n'
    )
    task = task_of(tmp_path, "include: base.toml\nname: mine\nenv: {B: mine, C: mine}\nresources: {cpu: 2}\n" + A)
    assert (task["name"], task["max_failures"]) == ("mine", 7)
    assert task["env"] == {"A": "base", "B": "mine", "C": "mine"}
    assert (task["resources"]["cpu"], task["resources"]["ram"]) == (2, 1000)
    assert [(process["name"], process["after"]) for process in task["processes"]] == [("setup", []), ("a", ["setup"])]


def test_of_several_includes_a_later_one_lies_over_an_earlier_one(tmp_path: Path) -> None:
    for name in "xyz":
        (tmp_path / f"{name}.yaml").write_text(f"user: {name}\nprocesses: [{{name: p{name}, cmdline: x}}]\n")
    task = task_of(tmp_path, "include: [y.yaml, x.yaml, z.yaml]\n" + A)
    assert task["user"] == "z"
    assert [process["name"] for process in task["processes"]] == ["py", "px", "pz", "a"]


def test_a_file_is_found_beside_the_one_that_includes_it_and_counts_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.yaml").write_text("include: deep/two.json\n")
    (tmp_path / "deep" / "two.json").write_text('{"include": "three.yaml", "env": {"A": "two"}}')
    (tmp_path / "deep" / "three.yaml").write_text("env: {A: three, B: three}\nprocesses: [{name: p, cmdline: x}]\n")
    task = task_of(tmp_path, "include: [one.yaml, deep/three.yaml, deep/../deep/three.yaml]\n" + A)
    assert task["env"] == {"A": "two", "B": "three"}
    assert [process["name"] for process in task["processes"]] == ["p", "a"]


def test_names_of_files_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "site-b.yaml").write_text("env: {SITE: b}\n")
    (tmp_path / "b.env").write_text("E=b\n")
    text = "include: 'site-{{site}}.yaml'\nenv_file: '{{site}}.env'\n" + A
    assert task_of(tmp_path, text, site="b")["env"] == {"SITE": "b", "E": "b"}


def test_all_processes_may_be_included(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(A)
    assert task_of(tmp_path, "include: all.yaml\n")["name"] == "a"
    assert "missing field 'processes'" in refusal(tmp_path, "include: []\nname: x\n")


def test_includes_that_go_too_deep_or_are_too_many_are_refused(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"chain{number}.yaml").write_text(f"include: chain{number + 1}.yaml\n")
        (tmp_path / f"leaf{number}.yaml").write_text("{}\n")
    assert "more than 10 deep" in refusal(tmp_path, "include: chain0.yaml\n" + A)
    names = ", ".join(f"leaf{number}.yaml" for number in range(200))
    assert "more than 100 files" in refusal(tmp_path, f"include: [{names}]\n" + A)
    assert "in a circle" in refusal(tmp_path, "include: task.yaml\n" + A)


def test_included_files_have_a_size_together(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"big{number}.json").write_bytes(b" " * (30 << 20) + b"{}")
    said = refusal(tmp_path, "include: [big0.json, big1.json, big2.json]\n" + A)
    assert "include[2]: the files included are larger than 64 MiB together" in said


def test_a_name_that_is_a_dash_is_a_file_and_not_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").write_text("A=1\n")
    Path("task.yaml").write_text("env_file: '-'\n" + A)
    assert load("task.yaml").task({})["env"] == {"A": "1"}


# Defaults.


def test_a_process_has_the_defaults_it_does_not_give_itself(tmp_path: Path) -> None:
    found = processes_of(
        tmp_path,
        """\
defaults:
  cmdline: make
  max_failures: 5
  user: nobody
  env: {A: default, B: default}
  resources: {ram: 1000, pids: 5}
  stop: {signal: INT, timeout: 3}
processes:
  - name: bare
  - {name: own, cmdline: x, max_failures: 2, env: {B: own}, resources: {pids: 7}, stop: {to: main}}
  - {name: argv, argv: [x], user: null, env: null}
""",
    )
    bare, own, argv = found["bare"], found["own"], found["argv"]
    assert (bare["cmdline"], bare["max_failures"], bare["user"]) == ("make", 5, "nobody")
    assert own["env"] == {"A": "default", "B": "own"}
    assert (own["resources"]["ram"], own["resources"]["pids"]) == (1000, 7)
    assert own["stop"] == {"to": "main"}, "only env and resources are taken key by key"
    assert (argv["cmdline"], argv["argv"]) == (None, ["x"]), "one command displaces the other"
    assert "user" not in argv, "null is silence, and takes the default back"
    assert "env" not in argv


def test_defaults_are_joined_over_includes_and_hold_for_included_processes(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "defaults: {max_failures: 2, min_duration: 1, env: {A: base, B: base}}\nprocesses: [{name: p, cmdline: x}]\n"
    )
    found = processes_of(tmp_path, "include: base.yaml\ndefaults: {max_failures: 3, env: {B: mine}}\n" + A)
    for process in found.values():
        assert (process["max_failures"], process["min_duration"]) == (3, 1)
        assert process["env"] == {"A": "base", "B": "mine"}


def test_what_is_wrong_with_a_default_is_said_once_and_also_where_nobody_takes_it(tmp_path: Path) -> None:
    many = "".join(f"  - {{name: p{n}, cmdline: x}}\n" for n in range(50))
    assert len(refusal(tmp_path, "defaults: {max_failures: x}\nprocesses:\n" + many).splitlines()) == 1
    none = "defaults: {max_failures: x}\nprocesses: [{name: a, cmdline: x, max_failures: 1}]\n"
    assert len(refusal(tmp_path, none).splitlines()) == 1


def test_a_port_that_only_an_unused_default_mentions_is_not_asked_for(tmp_path: Path) -> None:
    text = "defaults: {{env: {{P: '{{{{thermos.ports[http]}}}}'}}}}\nprocesses: [{{name: a, cmdline: x{}}}]\n"
    assert loaded(tmp_path, text.format("")).ports == ("http",)
    assert loaded(tmp_path, text.format(", env: {P: own}")).ports == ()


# Matrices.


def test_there_is_a_copy_for_each_combination_in_order(tmp_path: Path) -> None:
    found = processes_of(
        tmp_path,
        """\
processes:
  - name: build
    argv: [make, '{{matrix.n}}', '{{matrix.zone}}', '{{&matrix.n}}']
    max_failures: '{{matrix.n}}'
    env: {ZONE: '{{matrix.zone}}'}
    matrix: {n: 2, zone: [a, 7]}
""",
    )
    assert list(found) == ["build-0-a", "build-0-7", "build-1-a", "build-1-7"]
    last = found["build-1-7"]
    assert (last["argv"], last["max_failures"], last["env"]) == (["make", "1", "7", "{{matrix.n}}"], 1, {"ZONE": "7"})


def test_a_name_with_a_template_is_filled_in_and_not_added_to(tmp_path: Path) -> None:
    text = "processes: [{name: '{{matrix.zone}}-build', cmdline: x, matrix: {zone: [a, b]}}]\n"
    assert list(processes_of(tmp_path, text)) == ["a-build", "b-build"]


def test_excluded_combinations_are_left_out(tmp_path: Path) -> None:
    text = "processes: [{name: p, cmdline: x, matrix: {n: 2, z: [a, b], exclude: [{n: 0, z: b}, {n: '1'}]}}]\n"
    assert list(processes_of(tmp_path, text)) == ["p-0-a"]


def test_the_size_of_a_matrix_and_its_values_may_be_bound(tmp_path: Path) -> None:
    text = "processes: [{name: p, cmdline: x, matrix: {n: '{{shards}}', z: ['{{zone}}', b]}}]\n"
    assert list(processes_of(tmp_path, text, shards="2", zone="a")) == ["p-0-a", "p-0-b", "p-1-a", "p-1-b"]
    assert "nothing is bound to {{shards}}" in refusal(tmp_path, text, zone="a")


def test_templates_inside_templates_know_the_matrix(tmp_path: Path) -> None:
    text = "processes: [{name: p, cmdline: '{{thermos.ports[{{matrix.kind}}]}}', matrix: {kind: [http, admin]}}]\n"
    assert loaded(tmp_path, text).ports == ("http", "admin")


def test_the_written_name_stands_for_all_copies(tmp_path: Path) -> None:
    found = processes_of(
        tmp_path,
        """\
processes:
  - {name: build, cmdline: x, matrix: {n: 2}}
  - {name: 'test-{{matrix.n}}', cmdline: x, matrix: {n: 2}}
  - {name: pack, cmdline: x, after: build}
  - {name: ship, cmdline: x, after: [pack, 'test-{{matrix.n}}']}
  - {name: log, cmdline: x, after: {build: started, 'test-{{matrix.n}}': completed}}
  - {name: every, cmdline: x, matrix: {k: 2}, after: build}
""",
    )
    assert found["pack"]["after"] == ["build-0", "build-1"]
    assert found["ship"]["after"] == ["pack", "test-0", "test-1"]
    assert [(c["process"], c["on"]) for c in found["log"]["conditions"]] == [
        ("build-0", "started"),
        ("build-1", "started"),
        ("test-0", "completed"),
        ("test-1", "completed"),
    ]
    assert found["every-1"]["after"] == ["build-0", "build-1"]


def test_copies_pair_up_by_the_values_that_a_template_names(tmp_path: Path) -> None:
    found = processes_of(
        tmp_path,
        """\
processes:
  - {name: build, cmdline: x, matrix: {n: 3}}
  - {name: 'test-{{matrix.n}}-{{matrix.os}}', cmdline: x, matrix: {n: 3, os: [a, b]}, after: 'build-{{matrix.n}}'}
  - {name: sum, cmdline: x, matrix: {n: 3}, after: 'test-{{matrix.n}}-{{matrix.os}}'}
  - {name: same, cmdline: x, matrix: {n: 3, os: [a, b]}, after: {'test-{{matrix.n}}-{{matrix.os}}': completed}}
""",
    )
    assert found["test-2-b"]["after"] == ["build-2"]
    assert found["sum-1"]["after"] == ["test-1-a", "test-1-b"]
    assert [c["process"] for c in found["same-1-b"]["conditions"]] == ["test-1-b"]


def test_an_order_goes_through_every_copy(tmp_path: Path) -> None:
    found = processes_of(
        tmp_path,
        """\
processes:
  - {name: a, cmdline: x}
  - {name: m, cmdline: x, matrix: {n: 2}}
  - {name: 'k-{{matrix.n}}', cmdline: x, matrix: {n: [7, 8]}}
  - {name: z, cmdline: x}
constraints:
  - order: [a, m, 'k-{{matrix.n}}', z]
  - order: [m]
""",
    )
    assert found["m-1"]["after"] == ["a"]
    assert found["k-8"]["after"] == ["m-0", "m-1"]
    assert found["z"]["after"] == ["k-7", "k-8"]


def test_ten_thousand_copies_are_made_and_one_more_is_refused(tmp_path: Path) -> None:
    text = (
        "processes:\n  - {{name: p, cmdline: x, matrix: {{n: 9999}}}}\n  - {{name: q, cmdline: x, matrix: {{n: {}}}}}\n"
    )
    assert len(processes_of(tmp_path, text.format(1))) == 10_000
    assert "the matrices make more than 10000 copies" in refusal(tmp_path, text.format(2))


def test_pairs_of_thousands_are_no_matter(tmp_path: Path) -> None:
    text = """\
processes:
  - {name: b, cmdline: x, matrix: {n: 5000}}
  - {name: 't-{{matrix.n}}', cmdline: x, matrix: {n: 5000}, after: 'b-{{matrix.n}}'}
"""
    assert processes_of(tmp_path, text)["t-4999"]["after"] == ["b-4999"]


def test_a_matrix_of_null_is_none(tmp_path: Path) -> None:
    assert list(processes_of(tmp_path, "processes: [{name: a, cmdline: x, matrix: null, env_file: null}]\n")) == ["a"]


def test_defaults_may_name_the_values_of_a_matrix(tmp_path: Path) -> None:
    text = "defaults: {cmdline: 'make {{matrix.n}}'}\nprocesses: [{name: p, matrix: {n: 2}}]\n"
    assert processes_of(tmp_path, text)["p-1"]["cmdline"] == "make 1"
    assert "there is no {{matrix.n}}: the process has no 'matrix'" in refusal(
        tmp_path, "defaults: {cmdline: 'make {{matrix.n}}'}\nprocesses: [{name: p}]\n"
    )
