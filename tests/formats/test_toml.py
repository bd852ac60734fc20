"""TOML: what it means, and where each part of it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermos.formats import TaskFileError, load
from thermos.formats.document import Place
from thermos.formats.toml import parse

FULL = """\
name = "shop"
finalization_wait = "2m"
env = { LEVEL = "info", EMPTY = "" }

[resources]
cpu = 0.5
ram = "256MiB"

[[processes]]
name = "migrate"
cmdline = '''
set -e
./migrate "$1"
'''
max_failures = 3

[[processes]]
name = "api"
argv = [
    "./api",            # a comment with ] in it
    "--port", "{{thermos.ports[http]}}",
]
daemon = true
after.migrate = "succeeded"

[processes.health.http]
port = "http"

[[processes.restart]]
on.code = [1, "10-20"]
action = "fail"

[[constraints]]
order = ["migrate"]
"""


def test_a_task_in_toml_is_the_same_as_in_json(tmp_path: Path) -> None:
    file = tmp_path / "task.toml"
    file.write_text(FULL)
    found = load(str(file)).task({"thermos.ports[http]": "1"})
    value = parse(FULL, "f").value
    other = tmp_path / "task.json"
    other.write_text(json.dumps(value))
    assert load(str(other)).task({"thermos.ports[http]": "1"}) == found
    assert [process["name"] for process in found["processes"]] == ["migrate", "api"]
    assert found["processes"][1]["restart"] == [{"codes": [(1, 1), (10, 20)], "again": False}]


def every_place(text: str) -> dict[tuple[str | int, ...], tuple[int, int]]:
    document = parse(text, "f")
    place = document.place()
    found: dict[tuple[str | int, ...], tuple[int, int]] = {}

    def visit(value: Any, here: Place, path: tuple[str | int, ...]) -> None:
        found[path] = (here.line, here.column)
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, item in pairs:
            visit(item, here.below[step], (*path, step))
        if isinstance(value, dict):
            assert set(here.keys) == set(value)

    visit(document.value, place, ())
    return found


@pytest.mark.parametrize(
    ("text", "path", "where"),
    [
        ("a = 1", ("a",), (1, 5)),
        ("\n\n  a   =   'x'", ("a",), (3, 11)),
        ("a.b.c = 1", ("a", "b", "c"), (1, 9)),
        ("a.b.c = 1", ("a", "b"), (1, 3)),
        ("'a b'.\"c\\u0064\" = 1", ("a b", "cd"), (1, 19)),
        ("[t] # x\n# y\na = [1,\n  2, # ]\n  {b = 3}]", ("t", "a", 2, "b"), (5, 8)),
        ("[t]\n[t.u]\nx = 1", ("t", "u", "x"), (3, 5)),
        ("[[p]]\nn = 1\n[[p]]\nn = 2\n[p.e]\nx = 3", ("p", 1, "n"), (4, 5)),
        ("[[p]]\nn = 1\n[[p]]\nn = 2\n[p.e]\nx = 3", ("p", 1, "e", "x"), (6, 5)),
        ("[[p]]\n[[p.q]]\na = 1\n[[p.q]]\na = 2\n", ("p", 0, "q", 1, "a"), (5, 5)),
        ('a = """x\n"y" = 2\n\\""" """\nb = 3', ("b",), (4, 5)),
        ("a = '''x\n'y'\n''''\nb = 3", ("b",), (4, 5)),
        ('a = """"q""""\nb = 3', ("b",), (2, 5)),
        ('a = \'x # y\'\nb = "\\"#" # z\nc = -1.5e3 # w', ("c",), (3, 5)),
        ("a = [[], {}, [{}], [ ]]\nb = 1", ("a", 2, 0), (1, 15)),
        ("a = {b.c = 1, d = [2, {e = 3}]}", ("a", "d", 1, "e"), (1, 28)),
        ("a = 1\r\nb = 2\r\n", ("b",), (2, 5)),
        ('"é" = 1', ("é",), (1, 7)),
        ("a = 1", (), (1, 1)),
    ],
)
def test_every_value_has_its_place(text: str, path: tuple[str | int, ...], where: tuple[int, int]) -> None:
    assert every_place(text)[path] == where


texts = st.text("ab\"'#\\]},=.[{ \té", max_size=5)
scalars = st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def written(value: Any, marks: st.DataObject) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        style = marks.draw(st.sampled_from(["basic", "literal", "long"]))
        if style == "literal" and "'" not in value and "\t" not in value:
            return f"'{value}'"
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
        return f'"""\n{escaped}"""' if style == "long" else f'"{escaped}"'
    if isinstance(value, list):
        gap = marks.draw(st.sampled_from(["", " ", "\n", " # ], }\n"]))
        return f"[{gap}{f',{gap}'.join(written(item, marks) for item in value)}{gap}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key(name)} = {written(item, marks)}' for name, item in value.items())} }}"
    return repr(value)


def key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(texts, values, max_size=4), st.data())
def test_the_second_reading_finds_what_the_first_one_found(value: dict[str, Any], marks: st.DataObject) -> None:
    """Each place is where the text of that value begins."""
    text = "".join(f"{key(name)} = {written(item, marks)}\n" for name, item in value.items())
    assert parse(text, "f").value == value
    lines = text.split("\n")
    for path, (line, column) in every_place(text).items():
        here: Any = value
        for step in path:
            here = here[step]
        if path:
            begins = {"str": ("'", '"'), "list": ("[",), "dict": ("{",), "bool": ("t", "f")}
            assert lines[line - 1][column - 1 :].startswith(begins.get(type(here).__name__, (repr(here),)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\na = 2", ":2:6: cannot read the task file: not TOML: this gives a field a second time"),
        ("[a]\n[a]\n", "not TOML: this table is there already: a"),
        ("a = {b = 1}\n[a.c]\n", "not TOML: this table is there already: a.c"),
        ("a", "not TOML: expected '=' after the name of a field"),
        ("a = yes", ":1:5: cannot read the task file: not TOML: no value begins so; a text needs quotes"),
        ("a = 2026-13-01", "not TOML"),
        ("a = 2026-11-23", "cannot use a: a task file has no use for dates and times; put it in quotes"),
        ("a = [1, {b = 07:32:00}]", ":1:14: cannot use a[1].b: a task file has no use for dates and times"),
        ("a = " + "9" * 5000, "a number has thousands of digits"),
        ("a = " + "[" * 5000 + "]" * 5000, "nested more than 100 levels deep"),
        ("a = " + "[" * 120 + "]" * 120, "nested more than 100 levels deep"),
        (".".join("a" * 200) + " = 1", "nested more than 100 levels deep"),
        ("a = 'x", "not TOML"),
    ],
)
def test_what_is_not_toml_or_not_for_tasks_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "task.toml"
    file.write_text(text)
    with pytest.raises(TaskFileError) as caught:
        load(str(file))
    assert said in str(caught.value)


def test_a_number_beyond_all_fields_is_a_float_as_in_the_other_formats() -> None:
    assert parse("a = " + "9" * 200, "f").value == {"a": 1e200}
