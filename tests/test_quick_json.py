"""JSON without `json`: what it reads and writes is what `json` does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermos import quick_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_is_written_as_json_writes_it(value: Any) -> None:
    assert quick_json.dumps(value) == json.dumps(value, separators=(",", ":"))


@given(
    VALUES,
    st.sampled_from(["", " ", "\n\t\r ", "\ufeff", "\xa0", "x", "["]),
    st.sampled_from(["", " \n", "\xa0", "]", "1"]),
)
def test_a_text_is_read_as_json_reads_it(value: Any, before: str, after: str) -> None:
    text = before + json.dumps(value, indent=1) + after
    try:
        expected: Any = repr(json.loads(text))
    except json.JSONDecodeError as error:
        expected = str(error)
    try:
        found: Any = repr(quick_json.loads(text))
    except json.JSONDecodeError as error:
        found = str(error)
    assert found == expected


@given(st.text(alphabet='{}[],:"\\ntrue1.e-', max_size=12))
def test_what_is_no_json_is_refused_in_the_words_of_json(text: str) -> None:
    said: list[str] = []
    for read in (json.loads, quick_json.loads):
        try:
            said.append(repr(read(text)))
        except json.JSONDecodeError as error:
            said.append(str(error))
    assert said[0] == said[1]


def test_pairs_and_whole_numbers_are_handed_to_whom_it_is_told() -> None:
    seen: list[Any] = []
    assert (
        quick_json.loads(
            '{"a": 1, "a": [2.5, {}]}', lambda pairs: seen.append(pairs) or len(pairs), lambda digits: digits + "!"
        )
        == 2
    )
    assert seen == [[], [("a", "1!"), ("a", [2.5, 0])]]


def test_what_json_does_not_know_is_not_written() -> None:
    with pytest.raises(TypeError, match="object"):
        quick_json.dumps({"a": object()})
    recursive: list[Any] = []
    recursive.append(recursive)
    with pytest.raises(ValueError, match="Circular"):
        quick_json.dumps(recursive)


def test_neither_json_nor_re_is_imported_for_it() -> None:
    assert alone("q.loads(q.dumps({'a': [1, 'b']})); print({'json', 're'} & {*sys.modules})") == "set()"


def test_a_mistake_is_told_where_nobody_has_imported_json_yet() -> None:
    code = "exec('try: q.loads(\\'{a: 1}\\')\\nexcept ValueError as error: print(type(error).__name__, error)')"
    expected = "JSONDecodeError Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    assert alone(code) == expected


def alone(code: str) -> str:
    """What a program says that imports nothing else."""
    whole = f"import sys; sys.path[:0] = {sys.path!r}; from thermos import quick_json as q; {code}"
    argv = [sys.executable, "-I", "-S", "-c", whole]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
