"""Where the values of a loaded task come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thermos.formats import Loaded, load

FILES = {
    "base.toml": """\
max_failures = 2
env = {LEVEL = "info", OVER = "base"}

[defaults]
max_failures = 3
env = {D = "d"}

[[processes]]
name = "setup"
cmdline = "x"
""",
    "s.env": "# one\nTOKEN=secret\n",
    "task.yaml": """\
include: base.toml
env_file: s.env
env: {OVER: mine}
finalization_wait: '{{wait}}s'
processes:
  - name: build
    cmdline: make {{matrix.n}} {{thermos.task_id}}
    matrix: {n: 2}
    restart: {on: {code: 3}, backoff: {max: 9}}
    health: {tcp: {port: http}, interval_secs: 7}
    success_codes: 0-3
    env_file: s.env
  - name: last
    cmdline: x {{&n}}
    max_failures: 9
    after: [setup, build]
constraints:
  - order: [setup, build]
""",
}


@pytest.fixture
def found(tmp_path: Path) -> Loaded:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return load(str(tmp_path / "task.yaml"), {"wait": "3"})


@pytest.mark.parametrize(
    ("path", "kind", "where", "note"),
    [
        (("max_failures",), "include", "base.toml:1:16", ""),
        (("max_concurrency",), "default", ":0:0", "default of Thermos"),
        (("finalization_wait",), "binding", "task.yaml:4:20", "filled in from --bind wait"),
        (("name",), "derived", "base.toml:9:8", "the name of the first process"),
        (("env", "LEVEL"), "include", "base.toml:2:16", ""),
        (("env", "OVER"), "file", "task.yaml:3:13", ""),
        (("env", "TOKEN"), "env_file", "s.env:2:1", ""),
        (("resources", "cpu"), "default", ":0:0", "default of Thermos"),
        (("processes", 0, "name"), "include", "base.toml:9:8", ""),
        (("processes", 0, "max_failures"), "defaults", "base.toml:5:16", ""),
        (("processes", 1, "name"), "matrix", "task.yaml:6:11", "n=0"),
        (("processes", 2, "name"), "matrix", "task.yaml:6:11", "n=1"),
        (("processes", 2, "cmdline"), "binding", "task.yaml:7:14", "filled in from thermos.task_id, matrix.n"),
        (("processes", 2, "restart", 0, "codes"), "file", "task.yaml:9:26", ""),
        (("processes", 2, "restart", 0, "codes", 0, 1), "file", "task.yaml:9:26", ""),
        (("processes", 2, "restart", 0, "backoff", "most"), "file", "task.yaml:9:45", ""),
        (("processes", 2, "restart", 0, "again"), "default", ":0:0", "default of Thermos"),
        (("processes", 2, "health", "interval"), "file", "task.yaml:10:48", ""),
        (("processes", 2, "health", "tcp", "port"), "file", "task.yaml:10:26", ""),
        (("processes", 2, "success_codes"), "file", "task.yaml:11:20", ""),
        (("processes", 2, "env", "TOKEN"), "env_file", "s.env:2:1", ""),
        (("processes", 2, "env", "D"), "defaults", "base.toml:6:12", ""),
        (("processes", 2, "after"), "derived", ":0:0", "from 'constraints'"),
        (("processes", 3, "cmdline"), "file", "task.yaml:14:14", ""),
        (("processes", 3, "max_failures"), "file", "task.yaml:15:19", ""),
        (("processes", 3, "after"), "file", "task.yaml:16:12", ""),
        (("processes", 3, "after", 0), "file", "task.yaml:16:13", ""),
        (("processes", 3, "after", 2), "file", "task.yaml:16:20", ""),
        (("processes", 3, "daemon"), "default", ":0:0", "default of Thermos"),
    ],
)
def test_every_value_knows_where_it_comes_from(
    path: tuple[str | int, ...], kind: str, where: str, note: str, found: Loaded
) -> None:
    origin = found.origin(path)
    at = f"{Path(origin.file).name if origin.file else ''}:{origin.line}:{origin.column}"
    assert (origin.kind, at, origin.note) == (kind, where, note)


def every_path(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    return [path, *(below for step, item in pairs for below in every_path(item, (*path, step)))]


def test_there_is_an_answer_for_every_path_of_a_task(found: Loaded) -> None:
    kinds = {"file", "default", "defaults", "binding", "include", "matrix", "env_file", "derived"}
    paths = every_path(found.task({"thermos.task_id": "t"}))
    assert len(paths) > 80
    for path in paths:
        origin = found.origin(path)
        assert origin.kind in kinds
        assert (origin.line > 0) == (origin.column > 0)
        assert origin.line == 0 or origin.file


def test_a_plain_file_has_origins_too(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text('{"processes": [\n{"name": "a", "cmdline": "x", "after": {}, "max_failures": 3}]}')
    plain = load(str(file))
    origin = plain.origin(("processes", 0, "max_failures"))
    assert (origin.kind, origin.file, origin.line, origin.column) == ("file", str(file), 2, 60)
    assert plain.aside == {}


AURORA = """\
one = Process(name='one', cmdline='x', daemon=False)
two = Process(name='two', cmdline='x', logger=Logger(mode='rotate'))
export(combine_tasks(Task(processes=[one]), Task(processes=[two(ephemeral=True)], max_failures=1)))
"""


@pytest.mark.parametrize(
    ("path", "kind", "where", "note"),
    [
        (("name",), "file", "task.thermos:3:8", ""),
        (("max_failures",), "file", "task.thermos:3:96", ""),
        (("max_concurrency",), "default", ":0:0", "default of Aurora"),
        (("processes", 0, "daemon"), "file", "task.thermos:1:47", ""),
        (("processes", 0, "ephemeral"), "default", ":0:0", "default of Aurora"),
        (("processes", 1, "daemon"), "default", ":0:0", "default of Aurora"),
        (("processes", 1, "ephemeral"), "file", "task.thermos:3:75", ""),
        (("processes", 1, "stop", "signal"), "default", ":0:0", "default of Thermos"),
        (("aside", "processes", "two", "logger", "mode"), "file", "task.thermos:2:59", ""),
        (("aside", "processes", "two", "logger", "destination"), "default", ":0:0", "default of Aurora"),
    ],
)
def test_what_a_file_of_auroras_does_not_say_is_a_default_of_its_language(
    path: tuple[str | int, ...], kind: str, where: str, note: str, tmp_path: Path
) -> None:
    """Through copies and interpolation of pystachio's, too."""
    (tmp_path / "task.thermos").write_text(AURORA)
    origin = load(str(tmp_path / "task.thermos")).origin(path)
    at = f"{Path(origin.file).name if origin.file else ''}:{origin.line}:{origin.column}"
    assert (origin.kind, at, origin.note) == (kind, where, note)


def test_a_task_of_auroras_that_has_no_name_is_called_as_its_first_process(tmp_path: Path) -> None:
    (tmp_path / "task.thermos").write_text("export(Task(processes=[\n  Process(cmdline='x', name='one')]))\n")
    origin = load(str(tmp_path / "task.thermos")).origin(("name",))
    assert (origin.kind, origin.line, origin.column) == ("derived", 2, 29)
    assert origin.note == "the name of the first process"
