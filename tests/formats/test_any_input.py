"""Whatever a file holds, there is a task or a refusal: never another exception."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from thermos.config.schema import DEFAULTS, PROCESS, RESOURCES, TASK
from thermos.core.task import Task
from thermos.formats import Problem, TaskFileError, load

BINDINGS = {"x": "1", "thermos.task_id": "t", "thermos.ports[http]": "80"}
EXAMPLES = int(os.environ.get("THERMOS_EXAMPLES", "150"))
quietly = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
#: Five seconds for one file: nothing hangs, nor grows without end.
often = settings(quietly, max_examples=2 * EXAMPLES, deadline=5000)

words = st.sampled_from(
    ["a", "b", "c", "{{x}}", "{{ x }}", "{{&x}}", "{{y}}", "5s", "1KiB", "", "\0", ".a", "é\ud800", "yes"]
)
scalars = st.none() | st.booleans() | st.integers(-2, 5) | st.integers() | st.floats() | words | st.text(max_size=5)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["a", "b", "c", "d", "{{x}}"])


def record(fields: dict[str, Any], likely: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings whose fields mostly fit."""
    return st.fixed_dictionaries({}, optional={name: likely.get(name, anything) | anything for name in fields})


processes = st.builds(
    lambda sure, rest: {**sure, **rest},
    st.fixed_dictionaries({"name": names, "cmdline": words}),
    st.fixed_dictionaries(
        {}, optional={"after": st.lists(names, max_size=3), "daemon": st.booleans(), "final": st.booleans()}
    )
    | record(PROCESS.fields, {"name": names}),
)
tasks = record(
    TASK.fields,
    {
        "processes": st.lists(processes, max_size=5),
        "constraints": st.lists(st.fixed_dictionaries({"order": st.lists(names, max_size=4)}), max_size=3),
        "resources": record(RESOURCES.fields, {}),
    },
)


def task_or_refusal(file: Path) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        task = load(str(file)).task(BINDINGS)
    except TaskFileError as error:
        problems = error.problems
    else:
        msgspec.convert(task, Task)
        json.dumps(task, ensure_ascii=False).encode()
        return
    assert problems
    for problem in problems:
        assert problem.message.startswith("cannot ")
        assert (problem.line > 0) == (problem.column > 0)


@quietly
@given(anything | tasks)
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_any_json_value_gives_a_task_or_a_refusal(suffix: str, tmp_path: Path, value: Any) -> None:
    file = tmp_path / f"task{suffix}"
    file.write_text(json.dumps(value))
    task_or_refusal(file)


PIECES = "a b processes name : - , [ ] { } & * << &a *a ! !!str !!int | > ' \" # % --- ... ? ~ true 012 {{x}} {{"
SPACES = [" ", "  ", "\n", "\n  ", "\t", ": ", "- ", "\n- ", "\0", "\x07", "\u2028", "\ufeff", "😀"]
pieces = st.sampled_from([*PIECES.split(" "), *SPACES, "processes:\n  - {name: a, cmdline: "])


@quietly
@given(st.lists(pieces | st.text(max_size=3), max_size=25).map("".join))
@pytest.mark.parametrize("suffix", [".json", ".yaml", ".toml"])
def test_any_text_gives_a_task_or_a_refusal(suffix: str, tmp_path: Path, text: str) -> None:
    file = tmp_path / f"task{suffix}"
    file.write_bytes(text.encode(errors="surrogatepass"))
    task_or_refusal(file)


@quietly
@given(st.binary(max_size=60))
@pytest.mark.parametrize("suffix", [".json", ".yaml", ".toml"])
def test_any_bytes_give_a_task_or_a_refusal(suffix: str, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / f"task{suffix}"
    file.write_bytes(content)
    task_or_refusal(file)


GOOD = {
    "task.yaml": """\
include: [base.toml, more.json]
env_file: s.env
defaults: {max_failures: 2, env: {A: b}}
processes:
  - {name: build, cmdline: 'make {{matrix.n}}', matrix: {n: 2, z: [a, b], exclude: [{n: 1, z: a}]}}
  - {name: 'test-{{matrix.n}}', cmdline: x, matrix: {n: 2}, after: 'build-{{matrix.n}}-{{matrix.z}}', env_file: s.env}
  - {name: last, argv: [x], after: {build: started, 'test-{{matrix.n}}': completed}, restart: {on: {code: 1-3}}}
constraints:
  - order: [setup, build, last]
""",
    "base.toml": 'max_failures = 3\n[[processes]]\nname = "setup"\ncmdline = "x"\nhealth = {tcp = {port = "http"}}\n',
    "more.json": '{"include": "base.toml", "env": {"C": "{{x}}"}, "processes": [{"name": "more", "cmdline": "x"}]}',
    "s.env": "# one\nexport A='x y'\nB=\"z\\n\"\nC=3 # four\n",
}
NAMES_OF_FIELDS = ["include", "matrix", "defaults", "env_file", "exclude", "after", "order"]
GRAFTS = [*PIECES.split(" "), *SPACES, *NAMES_OF_FIELDS, "task.yaml", "base.toml", "[", "9999", "-1"]


@often
@given(
    st.sampled_from(sorted(GOOD)), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 9), st.sampled_from(GRAFTS)))
)
def test_good_files_that_were_damaged_give_a_task_or_a_refusal(
    tmp_path: Path, name: str, damage: list[tuple[int, int, str]]
) -> None:
    for other, text in GOOD.items():
        (tmp_path / other).write_text(text)
    text = GOOD[name]
    for at, length, graft in damage:
        at %= len(text) + 1
        text = text[:at] + graft + text[at + length :]
    (tmp_path / name).write_text(text)
    task_or_refusal(tmp_path / "task.yaml")


def test_the_files_before_the_damage_are_good(tmp_path: Path) -> None:
    for name, text in GOOD.items():
        (tmp_path / name).write_text(text)
    names = [process["name"] for process in load(str(tmp_path / "task.yaml")).task(BINDINGS)["processes"]]
    assert names == ["setup", "more", "build-0-a", "build-0-b", "build-1-b", "test-0", "test-1", "last"]


files = st.sampled_from(
    ["base.toml", "more.json", "s.env", "task.yaml", "nowhere.yaml", ".", "{{x}}", "\0", "/dev/null"]
)
axes = st.integers(-1, 4) | st.lists(scalars, max_size=3) | scalars
matrices = st.dictionaries(
    st.sampled_from(["n", "z", "exclude", "a-b"]),
    axes | st.lists(st.dictionaries(st.sampled_from("nz"), scalars, max_size=2), max_size=2),
    max_size=3,
)
references = st.sampled_from(
    ["a", "b", "a-{{matrix.n}}", "{{matrix.z}}", "a-0", "setup", "{{matrix.q}}", "{{&matrix.n}}"]
)
copied = st.fixed_dictionaries(
    {"name": references, "cmdline": references | words},
    optional={
        "matrix": matrices,
        "env_file": files | st.lists(files, max_size=2),
        "after": references | st.lists(references, max_size=3) | st.dictionaries(references, words, max_size=2),
        "env": st.dictionaries(words, references, max_size=2),
    },
)
spelled_out = st.fixed_dictionaries(
    {"processes": st.lists(copied | processes, max_size=4) | anything},
    optional={
        "include": files | st.lists(files, max_size=3) | anything,
        "env_file": files | anything,
        "defaults": record(DEFAULTS.fields, {"env": st.dictionaries(words, words, max_size=2), "after": references})
        | anything,
        "constraints": st.lists(st.fixed_dictionaries({"order": st.lists(references, max_size=4)}), max_size=3),
        "env": st.dictionaries(words, words, max_size=3),
    },
)


@often
@given(spelled_out)
def test_whatever_has_to_be_spelled_out_gives_a_task_or_a_refusal(tmp_path: Path, value: Any) -> None:
    for other, text in GOOD.items():
        (tmp_path / other).write_text(text)
    file = tmp_path / "any.json"
    file.write_text(json.dumps(value))
    task_or_refusal(file)


@quietly
@given(tasks)
def test_places_are_the_same_whichever_way_json_is_read(tmp_path: Path, value: Any) -> None:
    """JSON is YAML: what is wrong in it stands at the same line and column, whoever looks."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    assume(text.replace("\n", "").isprintable())  # YAML has no word for some characters,
    assume('"<<"' not in text)  # YAML merges there
    assume("NaN" not in text and "Infinity" not in text)  # and other words for what Python calls JSON numbers
    found: list[list[tuple[int, int, str]]] = []
    for suffix in (".json", ".yaml"):
        file = tmp_path / f"task{suffix}"
        file.write_text(text)
        try:
            load(str(file))
            found.append([])
        except TaskFileError as error:
            found.append([(problem.line, problem.column, problem.path) for problem in error.problems])
    if all(path for places in found for *_, path in places):  # otherwise YAML refuses the text itself
        assert found[0] == found[1]
