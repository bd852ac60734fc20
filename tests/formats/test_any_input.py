"""Whatever a file holds, there is a task or a refusal: never another exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from thermos.config.schema import PROCESS, RESOURCES, TASK
from thermos.core.task import Task
from thermos.formats import Problem, TaskFileError, load

BINDINGS = {"x": "1", "thermos.task_id": "t", "thermos.ports[http]": "80"}
quietly = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

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
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_any_text_gives_a_task_or_a_refusal(suffix: str, tmp_path: Path, text: str) -> None:
    file = tmp_path / f"task{suffix}"
    file.write_bytes(text.encode(errors="surrogatepass"))
    task_or_refusal(file)


@quietly
@given(st.binary(max_size=60))
def test_any_bytes_give_a_task_or_a_refusal(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "task.yaml"
    file.write_bytes(content)
    task_or_refusal(file)


@quietly
@given(tasks)
def test_places_are_the_same_whichever_way_json_is_read(tmp_path: Path, value: Any) -> None:
    """JSON is YAML: what is wrong in it stands at the same line and column, whoever looks."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    assume(text.replace("\n", "").isprintable())  # YAML has no word for some characters,
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
