"""Env files: what their lines mean, and that nothing of them is ever a template or in a message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermos.formats import load
from thermos.formats.env_file import parse


def read(text: str) -> dict[str, str]:
    entries, problems = parse(text, "f")
    assert problems == []
    return {name: str(entry.value) for name, entry in entries.items()}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("A=b c ", "b c"),
        ("  export A = b", "b"),
        ("A=b#c", "b#c"),
        ("A=b #c", "b"),
        ("A= #c", ""),
        ("A=#c", ""),
        ("A=$HOME ${X} {{y}}", "$HOME ${X} {{y}}"),
        ("A=b\\n'c' \"d\"", "b\\n'c' \"d\""),
        ("A='b #c' # d", "b #c"),
        ("A='$X \\n \"'", '$X \\n "'),
        ('A="b #c"', "b #c"),
        (r'A="1\n2\t3\"4\\5\$6\q"', '1\n2\t3"4\\5$6\\q'),
        ("A='x\ny'", "x\ny"),
        ('A="x\ny"  # z', "x\ny"),
        ("A==b=", "=b="),
        ("A.b-C_1=x", None),
        ("A=b\r\n", "b"),
        ("A=é\U0001f600", "é\U0001f600"),
    ],
)
def test_a_line_means_what_people_expect(line: str, value: str | None) -> None:
    assert read(line) == ({"A": value} if value is not None else {"A.b-C_1": "x"})


def test_comments_and_blank_lines_are_passed_over_and_lines_are_counted() -> None:
    entries, problems = parse("# x\n\n  # y\nA='1\n2'\n   B=2\nC\n", "f")
    assert [(name, entry.line, entry.column) for name, entry in entries.items()] == [("A", 4, 1), ("B", 6, 4)]
    assert [(problem.line, problem.column) for problem in problems] == [(7, 1)]


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,3}", fullmatch=True), st.text("ab'\"\\#$ \n{=", max_size=6)
    )
)
def test_whatever_is_quoted_rightly_comes_back(values: dict[str, str]) -> None:
    def quoted(text: str) -> str:
        inside = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f"'{text}'" if "'" not in text else f'"{inside}"'

    assert read("".join(f"{name}={quoted(value)}\n" for name, value in values.items())) == values


@settings(max_examples=300, deadline=None)
@given(st.text("AB='\"\\# \n\tx{}$.", max_size=40))
def test_any_text_is_taken_or_refused(text: str) -> None:
    entries, problems = parse(text, "f")
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
    assert all(entry.line >= 1 for entry in entries.values())


def test_an_env_file_lies_beneath_the_env_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=a\nB=a\nC={{thermos.task_id}} {{ no }} {{&x}}\n")
    (tmp_path / "b.env").write_text("B=b\nD=b\n")
    (tmp_path / "base.yaml").write_text("env: {A: base, E: base}\n")
    file = tmp_path / "task.yaml"
    file.write_text(
        """\
include: base.yaml
env_file: [a.env, b.env]
env: {D: own}
defaults: {env: {A: default, F: default}}
processes:
  - {name: p, cmdline: x, env_file: a.env, env: {B: own}}
  - {name: q, cmdline: x}
"""
    )
    task = load(str(file)).task({"thermos.task_id": "t"})
    raw = "{{thermos.task_id}} {{ no }} {{&x}}"
    assert task["env"] == {"A": "a", "B": "b", "C": raw, "D": "own", "E": "base"}
    assert task["processes"][0]["env"] == {"A": "a", "B": "own", "C": raw, "F": "default"}
    assert all(type(value) is str for value in task["env"].values())
