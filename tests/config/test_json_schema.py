"""The JSON Schema and the loader say the same of every value by itself."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema.validators import extend

from thermos.config import json_schema
from thermos.config.kinds import Field, Record
from thermos.formats import TaskFileError, load

HERE = Path(__file__).parents[1]
EXAMPLES = sorted(path for path in (HERE.parent / "examples").iterdir() if path.suffix in (".yaml", ".toml", ".json"))
BAD = sorted(path for path in (HERE / "bad").iterdir() if path.suffix in (".yaml", ".toml", ".json", ".yml"))


def pattern(_: Any, wanted: str, text: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """As editors have it: `$` is the end of the text. Python's also comes before a last newline."""
    if isinstance(text, str) and not re.search(wanted.replace("$", r"\Z"), text):
        yield jsonschema.ValidationError(f"{text!r} does not match {wanted!r}")


Validator = extend(jsonschema.Draft202012Validator, {"pattern": pattern})
SCHEMA = Validator(json_schema.document())


def plain(path: Path) -> Any:
    """What a file holds, as the loader reads it; None where nobody can."""
    from thermos.formats import read_document

    try:
        document = read_document(str(path))
    except TaskFileError:
        return None
    return None if document.problems else document.value


def wrong_shapes(path: Path) -> list[str]:
    try:
        load(str(path))
    except TaskFileError as error:
        return [str(problem) for problem in error.problems if not problem.relation]
    return []


def agree(path: Path, value: Any) -> None:
    found = wrong_shapes(path)
    errors = [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(value)]
    assert bool(found) == bool(errors), (found, errors)


def test_the_schema_is_one() -> None:
    Validator.check_schema(json_schema.document())


def test_the_command_prints_it() -> None:
    program = "import sys; from thermos.cli import schema; sys.exit(schema.run({}))"
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert json.loads(done.stdout) == json_schema.document()


@pytest.mark.parametrize("name", json_schema.RECORDS)
def test_every_field_has_a_line_of_description(name: str) -> None:
    record, texts = json_schema.RECORDS[name]
    assert set(record.fields) <= set(texts)
    assert all(text.endswith(".") and len(text) < 110 for text in texts.values())


def test_every_record_of_the_language_is_in_the_schema() -> None:
    known = [record for record, _ in json_schema.RECORDS.values()]
    fields: list[Field] = [field for record in known for field in record.fields.values()]
    for field in fields:
        kind = getattr(field.kind, "item", field.kind)
        assert not isinstance(kind, Record) or kind in known


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid_for_both(path: Path) -> None:
    load(str(path))
    assert list(SCHEMA.iter_errors(plain(path))) == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_what_is_wrong_by_itself_is_refused_by_both(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    value = plain(path)
    if value is None or path.name in INCLUDES_WHAT_IS_WRONG:
        return
    agree(path, value)


#: Their own shape is right; they stand for what is in other files.
INCLUDES_WHAT_IS_WRONG = ("include_of_broken_files.yaml", "include_of_duplicates.yaml", "env_file.yaml")

A_BIT_OF_EVERYTHING: dict[str, Any] = {
    "name": "shop",
    "user": None,
    "max_failures": 2,
    "max_concurrency": "{{n}}",
    "finalization_wait": "1h30m",
    "resources": {
        "cpu": "500m",
        "ram": "256MiB",
        "disk": 10**9,
        "pids": 64,
        "gpu": 0,
        "cpu_weight": 50,
        "cpu_burst": 0.2,
        "cpuset": "0-1,3",
        "ram_low": "1MiB",
        "ram_high": "200MiB",
        "swap": 0,
        "io": {"path": "/srv", "read": "1MiB", "write_iops": 9},
        "io_weight": 10,
        "oom": "run",
        "egress": "20Mbit",
        "ingress": 10**6,
    },
    "sandbox": {
        "network": "private",
        "rootfs": "base.tar",
        "read_only": True,
        "devices": "/dev/fuse",
        "tmp": "64MiB",
        "volumes": [{"host_path": "/srv", "container_path": "/data", "mode": "RW", "id_mapped": False}],
        "shm": 9,
        "hostname": "shop",
        "hidepid": True,
        "masks": False,
        "namespaces": {"user": True},
        "seccomp": "default",
        "landlock": {"read": "/usr", "write": ["/tmp"], "bind": 80, "connect": [1], "scope": "signal"},
    },
    "env": {"LEVEL": "info"},
    "defaults": {"max_failures": 3, "min_duration": "5s", "env": {"A": "b"}, "resources": {"ram": "1GiB"}},
    "processes": [
        {"name": "db", "cmdline": "x", "daemon": True, "health": {"tcp": {"port": 5432}, "interval_secs": 2}},
        {
            "name": "api-{{matrix.n}}-{{matrix.zone}}",
            "argv": ["x", "{{matrix.n}}"],
            "matrix": {"n": 3, "zone": ["a", 1], "exclude": [{"n": 0, "zone": "a"}]},
            "after": {"db": "healthy", "migrate": {"log": "done$"}},
            "success_codes": [0, "3-5"],
            "stop": {"signal": "SIGINT", "to": "group", "timeout": "3s", "command": "x"},
            "restart": [
                {"on": {"code": "1-9", "uptime_under": "1m"}, "backoff": {"initial": 1, "max": 9}, "budget": 3},
                {"on": {"signal": ["KILL", 9], "oom": True, "unhealthy": False}, "action": "fail"},
            ],
            "health": {"http": {"port": "http", "path": "/h", "codes": ["200-299"], "body": "ok"}},
            "env": {"B": "c"},
            "cwd": "sub",
            "user": "nobody",
            "resources": {"cpu": 0.5, "pids": 3},
            "capabilities": "CAP_NET_BIND_SERVICE",
            "rlimits": {"nofile": "10:unlimited", "core": 0},
            "nice": -3,
            "ionice": "best-effort:3",
            "scheduler": "fifo:9",
            "affinity": "0",
            "oom_score_adj": 5,
        },
        {"name": "migrate", "cmdline": "x", "success_codes": 0, "restart": {"budget": 1}, "stop": {}},
        {"name": "check", "cmdline": "x", "health": {"exec": {"argv": ["x"]}}, "after": ["migrate"], "ephemeral": True},
        {"name": "tidy", "cmdline": "x", "final": True, "health": {"exec": {"cmdline": "x"}}},
    ],
    "constraints": [{"order": ["migrate", "check"]}],
}
NUMBERS = [None, True, False, 0, 1, -1, 3, 256, 1.0, 0.5, 2.5, 1e300, -0.0, 10**25]
TEXTS = [
    *(
        "",
        "a",
        "A=b",
        "a/b",
        ".a",
        "{{x}}",
        "{{",
        "{{&x}}",
        "{{ x }}",
        "80x",
        "x\0",
        "é",
        "-",
        "m",
        "5\n",
        "1e3",
        "log",
    ),
    *("5", "5s", "5 s", "5s ", "5S", "-5s", ".5s", "1h30m", "30m1h", "1.5d 2ms", "500m", "0m", "9999999999999m"),
    *("256MiB", "1.5GiB", "1.5B", "3 kB", "3KB", "3B", "1-5", "5-1", "0-999", "99"),
    *("/srv", "/", "/a/../b", "/dev/fuse", "0-1,3", "20Mbit", "1bit", "9:3", "3:unlimited", "unlimited", "RO", "none"),
    *("shop", "-shop", "idle", "best-effort:3", "best-effort:8", "rr:5", "batch", "CHOWN", "CAP_CHOWN", "chown"),
    *("TERM", "SIGTERM", "term", "RTMIN", "healthy", "started", "restart", "fail", "all", "group", "http"),
]
PARTS: list[Any] = [
    *([], [1], [1, 1], ["a"], ["a", "b"], ["", "a"], [{}], [[]], {}, {"a": "b"}, {"a": 1}, {"": "a"}, {"A=B": "a"}),
    *({"{{x}}": "a"}, {"log": "x"}, {"log": ""}, {"n": 2}, {"n": [1, "a"]}, {"exclude": []}, {"a-b": 2}),
    *({"n": 2, "exclude": [{"n": 1}]}, {"n": 2, "exclude": None}, {"cmdline": "x"}, {"port": "a"}),
]
values = st.sampled_from([*NUMBERS, *TEXTS, *PARTS]).map(copy.deepcopy)
words = sorted(
    {name for record, _ in json_schema.RECORDS.values() for name in record.fields} | {"zzz", "exclude", "log"}
)


def parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a value: what holds it, and its name or number there."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in pairs:
        yield value, step
        yield from parts(item)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    task = copy.deepcopy(A_BIT_OF_EVERYTHING)
    for _ in range(draw(st.integers(1, 4))):
        places = list(parts(task))
        if not places:
            break
        holder, step = draw(st.sampled_from(places))
        what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
        if what == "replace":
            holder[step] = draw(values)
        elif what == "remove":
            del holder[step]
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from(words))] = draw(values)
        else:
            holder.append(draw(values))
    task.pop("include", None)
    task.pop("env_file", None)
    for process in task["processes"] if isinstance(task.get("processes"), list) else []:
        if isinstance(process, dict):
            process.pop("env_file", None)
    return task


EXAMPLES_WANTED = int(os.environ.get("THERMOS_EXAMPLES", "300"))


@settings(max_examples=EXAMPLES_WANTED, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated())
def test_whatever_a_task_says_both_think_the_same_of_its_shape(tmp_path: Path, value: Any) -> None:
    file = tmp_path / "task.json"
    file.write_text(json.dumps(value))
    agree(file, json.loads(file.read_text()))


def test_the_corpus_these_mutations_begin_with_is_right(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text(json.dumps(A_BIT_OF_EVERYTHING))
    load(str(file))
    assert list(SCHEMA.iter_errors(A_BIT_OF_EVERYTHING)) == []


@st.composite
def from_the_schema(draw: st.DrawFn, schema: dict[str, Any], depth: int = 0) -> Any:
    """A value that the schema takes, but for patterns it has no example of."""
    if "$ref" in schema:
        schema = json_schema.document()["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema and "properties" not in schema:
        return draw(from_the_schema(draw(st.sampled_from(schema["anyOf"])), depth))
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    if "pattern" in schema:
        fitting = [text for text in PATTERN_TEXTS if re.search(schema["pattern"].replace("$", r"\Z"), text)]
        return draw(st.sampled_from(fitting))
    match schema.get("type"):
        case "null":
            return None
        case "boolean":
            return draw(st.booleans())
        case "integer":
            high = min(schema.get("maximum", 9), 9)
            return draw(st.integers(min(schema.get("minimum", 0), high), max(high, schema.get("minimum", 0))))
        case "number":
            return draw(st.floats(schema["minimum"], schema["maximum"]))
        case "string":
            return draw(st.text("abc {}é", min_size=schema.get("minLength", 0), max_size=4))
        case "array":
            return draw(
                st.lists(from_the_schema(schema["items"], depth + 1), min_size=schema.get("minItems", 0), max_size=2)
            )
        case _:
            pass
    required = schema.get("required", [])
    chosen = [name for name in schema.get("properties", {}) if name in required or draw(st.integers(0, 3)) == 0]
    return {name: draw(from_the_schema(schema["properties"][name], depth + 1)) for name in chosen if name not in FILES}


FILES = ("include", "env_file")
PATTERN_TEXTS = [
    *("{{x}}", "a", "5s", "1h30m", "256MiB", "3 GB", "500m", "1-5", "7", "http", "a b", "1.5 d"),
    *("/srv", "/dev/fuse", "20Mbit", "9:unlimited", "shop-1", "idle", "best-effort:3", "rr:5"),
]


@settings(max_examples=EXAMPLES_WANTED, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(from_the_schema(json_schema.document()))
def test_what_is_made_from_the_schema_has_the_same_answer_from_both(tmp_path: Path, value: Any) -> None:
    file = tmp_path / "task.json"
    file.write_text(json.dumps(value))
    agree(file, value)


def test_toml_and_yaml_have_the_schemas_values_too(tmp_path: Path) -> None:
    """A file of the same words is the same value to both."""
    (tmp_path / "a.toml").write_text('[[processes]]\nname = "a"\nargv = ["x"]\nmin_duration = 1.5\n')
    (tmp_path / "a.yaml").write_text("processes:\n  - {name: a, argv: [x], min_duration: 1.5}\n")
    assert plain(tmp_path / "a.toml") == plain(tmp_path / "a.yaml") == tomllib.loads((tmp_path / "a.toml").read_text())
