"""Good files: what they mean, in each format."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thermos.config.schema import PROCESS, RESOURCES, TASK
from thermos.core import task as core
from thermos.formats import TaskFileError, load

WORDS = {"thermos.task_id": "hello-1", "thermos.user": "nobody", "mesos.instance": "3", "mesos.hostname": "box"}


def task_of(directory: Path, text: str, suffix: str = ".yaml", **bindings: str) -> dict[str, Any]:
    file = directory / f"task{suffix}"
    file.write_text(text)
    return load(str(file)).task({**WORDS, **bindings})


def with_process(directory: Path, fields: str) -> dict[str, Any]:
    task = task_of(directory, "processes:\n  - {name: a, cmdline: x, " + fields + "}\n")
    process: dict[str, Any] = task["processes"][0]
    return process


def with_task(directory: Path, fields: str) -> dict[str, Any]:
    return task_of(directory, fields + "\nprocesses:\n  - {name: a, cmdline: x}\n")


def test_the_smallest_task_has_thermoss_defaults(tmp_path: Path) -> None:
    assert task_of(tmp_path, '{"processes": [{"name": "a", "cmdline": "x"}]}', ".json") == {
        "name": "a",
        "processes": [
            {
                "name": "a",
                "cmdline": "x",
                "argv": None,
                "max_failures": 1,
                "daemon": False,
                "ephemeral": False,
                "min_duration": 5.0,
                "final": False,
                "after": [],
            }
        ],
        "max_failures": 1,
        "max_concurrency": 0,
        "finalization_wait": 30.0,
        "user": None,
        "resources": {"cpu": None, "ram": None, "disk": None, "pids": None},
        "env": {},
    }


FULL = """\
name: shop
user: nobody
max_failures: 2
max_concurrency: 3
finalization_wait: 2m
resources: {cpu: 0.5, ram: 256MiB, disk: 1GB, gpu: 0, pids: 256}
env: {LEVEL: info, EMPTY: ''}
processes:
  - {name: migrate, cmdline: ./migrate, max_failures: 3, min_duration: 500ms}
  - {name: api, argv: [./api, --port, '{{thermos.ports[http]}}'], daemon: true, ephemeral: true, after: migrate}
  - {name: log, cmdline: log, ephemeral: true, after: [migrate]}
  - {name: cleanup, cmdline: rm -rf cache, final: true}
  - {name: report, cmdline: mail, final: true}
constraints:
  - order: [migrate, log]
  - order: [cleanup, report]
"""


def test_every_field_reaches_the_core(tmp_path: Path) -> None:
    found = msgspec.convert(task_of(tmp_path, FULL, **{"thermos.ports[http]": "31000"}), core.Task)
    assert found.name == "shop"
    assert found.user == "nobody"
    assert (found.max_failures, found.max_concurrency, found.finalization_wait) == (2, 3, 120)
    assert found.resources == core.Resources(cpu=0.5, ram=256 << 20, disk=10**9, pids=256)
    assert found.env == {"LEVEL": "info", "EMPTY": ""}
    by_name = {process.name: process for process in found.processes}
    assert by_name["migrate"].min_duration == 0.5
    assert by_name["migrate"].max_failures == 3
    assert by_name["api"].argv == ("./api", "--port", "31000")
    assert by_name["api"].cmdline is None
    assert by_name["api"].daemon
    assert by_name["api"].ephemeral
    assert by_name["api"].after == by_name["log"].after == ("migrate",)
    assert by_name["report"].final
    assert by_name["report"].after == ("cleanup",)


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    import yaml

    text = json.dumps(yaml.safe_load(FULL), indent=2)
    port = {"thermos.ports[http]": "1"}
    assert task_of(tmp_path, text, ".json", **port) == task_of(tmp_path, FULL, ".yml", **port)


def test_the_schema_and_the_structs_of_the_core_have_the_same_fields() -> None:
    assert set(TASK.fields) == {*core.Task.__struct_fields__, "constraints", "include", "defaults", "env_file"}
    assert set(PROCESS.fields) == {*core.Process.__struct_fields__, "env_file", "matrix"} - {"conditions"}
    assert set(RESOURCES.fields) == {*core.Resources.__struct_fields__, "gpu"}


@pytest.mark.parametrize(
    "text", ['{"processes": [{"name": "a", "cmdline": "x"}]}', FULL, "{processes: [{name: a, argv: [x]}]}"]
)
def test_standard_input_may_be_json_or_yaml(text: str, tmp_path: Path) -> None:
    program = "from thermos.formats import load; print(load('-').task({'thermos.ports[http]': '1'})['name'])"
    done = subprocess.run([sys.executable, "-c", program], input=text, text=True, capture_output=True, check=True)
    assert done.stdout.strip() in ("a", "shop")


REFUSAL = """\
from thermos.formats import load, TaskFileError
try:
    load("-")
except TaskFileError as error:
    print(error)
"""


def test_a_problem_on_standard_input_names_it() -> None:
    program = (
        "from thermos.formats import load, TaskFileError\ntry: load('-')\nexcept TaskFileError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], input="{a: [}", text=True, capture_output=True, check=True)
    assert done.stdout.startswith("<stdin>:1:6: cannot read the task file: not YAML")


def test_closed_standard_input_is_refused() -> None:
    program = f"import os; os.close(0)\n{REFUSAL}"
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout == "<stdin>: cannot read the task file: bad file descriptor\n"


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert task_of(tmp_path, '\ufeff[[processes]]\nname = "a"\ncmdline = "x"', ".toml")["name"] == "a"
    for suffix in (".json", ".yaml"):
        assert task_of(tmp_path, '\ufeff{"processes": [{"name": "a", "cmdline": "x"}]}', suffix)["name"] == "a"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("0.25", 0.25),
        ("500ms", 0.5),
        ("30s", 30),
        ("1.5m", 90),
        ("1h", 3600),
        ("2 m", 120),
        ("'12'", 12),
        ("1h30m", 5400),
        ("1d 12h", 129600),
        ("2 m 30 s", 150),
        ("1m500ms", 60.5),
    ],
)
def test_durations_are_seconds_or_have_a_unit(written: str, seconds: float, tmp_path: Path) -> None:
    assert with_process(tmp_path, f"min_duration: {written}")["min_duration"] == seconds


@pytest.mark.parametrize(("written", "cores"), [("2", 2), ("0.5", 0.5), ("500m", 0.5), ("1500m", 1.5)])
def test_processors_are_a_number_or_thousandths(written: str, cores: float, tmp_path: Path) -> None:
    assert with_task(tmp_path, f"resources: {{cpu: {written}}}")["resources"]["cpu"] == cores


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1024", 1024),
        ("1e9", 10**9),
        ("1KiB", 1024),
        ("256MiB", 256 << 20),
        ("1.5GiB", 3 << 29),
        ("1TiB", 1 << 40),
        ("1kB", 1000),
        ("3MB", 3 * 10**6),
        ("1GB", 10**9),
        ("2TB", 2 * 10**12),
        ("0x10", 16),
        ("10B", 10),
    ],
)
def test_sizes_are_bytes_or_have_a_unit(written: str, size: int, tmp_path: Path) -> None:
    assert with_task(tmp_path, f"resources: {{ram: {written}}}")["resources"]["ram"] == size


@pytest.mark.parametrize(
    "written",
    ["no", "on", "yes", "off", "y", "22:22", "012", "2026-11-22", "1_000", "0b1", "=", "1.2.3", "+", "1e", "0o8"],
)
def test_what_yaml_1_2_calls_text_is_text(written: str, tmp_path: Path) -> None:
    assert with_task(tmp_path, f"env:\n  A: {written}\n")["env"] == {"A": written}


@pytest.mark.parametrize(
    "written",
    ["true", "FALSE", "null", "~", "", "1", "-1", "0x1F", "0o17", "1.5", ".5", "1e3", ".inf", "-.INF", ".NaN"],
)
def test_what_yaml_1_2_calls_something_else_is_not_text(written: str, tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="expected text"):
        with_task(tmp_path, f"env:\n  A: {written}\n")
    assert with_task(tmp_path, f"env:\n  A: '{written}'\n")["env"] == {"A": written}
    assert with_task(tmp_path, f"env:\n  A: !!str {written}\n")["env"] == {"A": written}


def test_fields_named_like_words_of_yaml_1_1_keep_their_names(tmp_path: Path) -> None:
    assert with_task(tmp_path, "env: {on: a, NO: b, 1: c, 0x1: d}")["env"] == {
        "on": "a",
        "NO": "b",
        "1": "c",
        "0x1": "d",
    }


def test_aliases_and_merges_give_what_they_stand_for(tmp_path: Path) -> None:
    task = task_of(
        tmp_path,
        """\
processes:
  - &base {name: &first a, cmdline: &run make, max_failures: 3, min_duration: 1}
  - {<<: *base, name: b, after: *first}
  - {name: c, <<: [{min_duration: 2}, *base], cmdline: *run}
""",
    )
    assert [(p["name"], p["cmdline"], p["max_failures"], p["min_duration"], p["after"]) for p in task["processes"]] == [
        ("a", "make", 3, 1, []),
        ("b", "make", 3, 1, ["a"]),
        ("c", "make", 3, 2, []),
    ]


def test_null_means_silence_where_silence_is_no_value(tmp_path: Path) -> None:
    task = with_task(tmp_path, "user:\nname: ~\nresources: {cpu: null}")
    assert (task["user"], task["name"], task["resources"]["cpu"]) == (None, "a", None)


def test_an_order_joins_what_a_process_says_itself_and_each_name_comes_once(tmp_path: Path) -> None:
    names = "".join(f"  - {{name: {name}, cmdline: x}}\n" for name in "abc")
    text = f"processes:\n{names}  - {{name: d, cmdline: x, after: [a, b, a]}}\nconstraints:\n"
    task = task_of(tmp_path, text + "  - order: [b, d]\n  - order: [c, d]\n  - order: [a]\n  - order: []\n")
    assert [process["after"] for process in task["processes"]] == [[], [], [], ["a", "b", "c"]]


def test_a_chain_of_many_thousand_processes_loads(tmp_path: Path) -> None:
    processes = [{"name": f"p{n}", "cmdline": "true", "after": [f"p{n - 1}"] if n else []} for n in range(20_000)]
    task = task_of(tmp_path, json.dumps({"processes": processes}), ".json")
    assert task["processes"][-1]["after"] == ["p19998"]


def test_loading_json_imports_nothing_heavy(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text('{"processes": [{"name": "a", "cmdline": "echo {{thermos.task_id}} {{thermos.ports[http]}}"}]}')
    program = (
        "import sys; from thermos.formats import load\n"
        "load(sys.argv[1]).task({'thermos.task_id': 'a', 'thermos.ports[http]': '1'})\n"
        "print(*sys.modules)"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-S", "-c", program, str(file)]  # -S: what site-packages may import is not ours
    done = subprocess.run(command, env={"PYTHONPATH": root}, text=True, capture_output=True, check=True)
    imported = {module.split(".")[0] for module in done.stdout.split()}
    heavy = {
        "typing",
        "dataclasses",
        "msgspec",
        "yaml",
        "click",
        "inspect",
        "pathlib",
        "difflib",
        "datetime",
        "importlib",
    }
    assert imported & {*heavy, "json"} == set()
    assert "thermos.formats.yaml" not in done.stdout


def test_reading_standard_input_leaves_it_open() -> None:
    program = "import os; from thermos.formats import load; load('-'); os.fstat(0)"
    text = '{"processes": [{"name": "a", "cmdline": "x"}]}'
    subprocess.run([sys.executable, "-c", program], input=text, text=True, check=True)


def test_yaml_reads_the_same_with_and_without_its_shortcut(tmp_path: Path) -> None:
    """An anchor that nobody uses makes the whole reader read the same values."""
    port = {"thermos.ports[http]": "1"}
    assert task_of(tmp_path, FULL, **port) == task_of(tmp_path, FULL.replace("shop", "&unused shop", 1), **port)


def test_only_what_has_to_be_spelled_out_is(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    program = "import sys; from thermos.formats import load; load(sys.argv[1]); print(*sys.modules)"
    spelled = {"thermos.config.expansion", "thermos.config.matrix", "thermos.formats.including", "tomllib"}
    for fields, wanted in (("", False), (', "env_file": []', True)):
        file.write_text('{"processes": [{"name": "a", "cmdline": "x"}]' + fields + "}")
        done = subprocess.run([sys.executable, "-c", program, str(file)], text=True, capture_output=True, check=True)
        assert ("thermos.formats.including" in done.stdout.split()) == wanted
        assert wanted or not spelled & set(done.stdout.split())
