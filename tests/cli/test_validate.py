"""`thermos validate`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from task_directories import Cli

EXAMPLES = Path(__file__).parents[2] / "examples"
BAD = Path(__file__).parents[1] / "bad"

SERVICE_BESIDE_WORK = """\
processes:
  - {name: web, cmdline: 'true', daemon: true}
  - {name: work, cmdline: 'true'}
"""


def written(tmp_path: Path, text: str, name: str = "task.yaml") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_valid_file_is_one_line(cli: Cli) -> None:
    path = str(EXAMPLES / "wordcount.yaml")
    assert cli.run("validate", path) == (0, f"{path}: valid: wordcount, 10 processes, ports http\n", "")


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        (None, ": cannot read {path}: No such file or directory"),
        ("{", ": {path} is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"defaultAction": "SCMP_ACT_X"}', ".defaultAction: 'SCMP_ACT_X' is not one of SCMP_ACT_KILL, "),
    ],
)
def test_a_profile_of_system_calls_is_checked_with_the_file_that_names_it(
    cli: Cli, tmp_path: Path, profile: str | None, why: str
) -> None:
    if profile is not None:
        (tmp_path / "calls.json").write_text(profile)
    text = "sandbox:\n  seccomp: calls.json\nprocesses: [{name: a, cmdline: 'true'}]\n"
    path = written(tmp_path, text)
    status, out, err = cli.run("validate", path)
    assert (status, out) == (65, "")
    assert err.startswith(f"{path}:2:12: cannot use sandbox.seccomp{why.format(path=tmp_path / 'calls.json')}")
    (tmp_path / "calls.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert cli.run("validate", path)[0] == 0


def test_every_error_of_every_file_is_said_at_once(cli: Cli) -> None:
    units, good, cycle = str(BAD / "units.yaml"), str(EXAMPLES / "hello.yaml"), str(BAD / "cycle.yaml")
    status, out, err = cli.run("validate", units, good, cycle)
    assert status == 65
    assert out == f"{good}: valid: hello, 1 process\n"
    lines = err.splitlines()
    assert [line.split(": cannot ")[0].rsplit(":", 2)[0] for line in lines] == [units] * (len(lines) - 1) + [cycle]
    assert len(lines) == len((BAD / "units.txt").read_text().splitlines()) + 1


def test_a_name_that_only_a_run_knows_is_no_error_and_any_other_is(cli: Cli, tmp_path: Path) -> None:
    text = """\
processes:
  - name: a
    cmdline: "{{thermos.task_id}} {{thermos.user}} {{thermos.ports[x]}} {{mesos.instance}} {{mesos.hostname}} {{mine}}"
"""
    path = written(tmp_path, text)
    status, out, err = cli.run("validate", path)
    assert (status, out) == (65, "")
    why = "nothing is bound to {{mine}}: give it with --bind mine=VALUE"
    assert err == f"{path}:3:14: cannot use processes[0].cmdline: {why}\n"
    assert cli.run("validate", path, "--bind", "mine=1") == (0, f"{path}: valid: a, 1 process, ports x\n", "")


def test_what_may_not_be_meant_is_a_note_with_its_place_and_with_strict_an_error(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path, SERVICE_BESIDE_WORK)
    status, out, err = cli.run("validate", path)
    assert (status, out) == (0, f"{path}: valid: web, 2 processes\n")
    assert err.startswith(f"{path}:2:42: note: the task does not end when 'work' has: 'web' is a daemon")
    assert cli.run("validate", path, "--strict") == (65, "", err)


def test_json_has_an_object_for_each_file(cli: Cli, tmp_path: Path) -> None:
    good, bad = written(tmp_path, SERVICE_BESIDE_WORK), written(tmp_path, "processes: []\nnmae: x\n", "bad.yaml")
    status, out, err = cli.run("validate", good, bad, "--json")
    assert (status, err) == (65, "")
    first, second = json.loads(out)
    assert (first["file"], first["valid"], first["task"], first["processes"]) == (good, True, "web", ["web", "work"])
    assert [(note["line"], note["path"]) for note in first["notes"]] == [(2, "processes[0].daemon")]
    assert (second["file"], second["valid"], second["task"]) == (bad, False, None)
    assert [(p["file"], p["line"], p["column"], p["path"]) for p in second["problems"]] == [
        (bad, 1, 12, "processes"),
        (bad, 2, 1, "nmae"),
    ]


def test_a_file_that_is_not_there_is_an_error_of_it_and_not_of_the_others(cli: Cli, tmp_path: Path) -> None:
    missing, good = str(tmp_path / "missing.yaml"), str(EXAMPLES / "hello.yaml")
    status, out, err = cli.run("validate", missing, good)
    assert (status, out) == (65, f"{good}: valid: hello, 1 process\n")
    assert err == f"{missing}: cannot read the task file: no such file or directory\n"


def test_standard_input_is_a_file_too(cli: Cli) -> None:
    with (EXAMPLES / "hello.yaml").open() as source:
        program = "import sys; from thermos.cli import main; sys.exit(main())"
        words = [sys.executable, "-c", program, "validate", "-"]
        done = subprocess.run(words, stdin=source, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "-: valid: hello, 1 process\n", "")


def test_a_binding_without_a_value_is_wrong_usage(cli: Cli) -> None:
    status, out, err = cli.run("validate", str(EXAMPLES / "hello.yaml"), "--bind", "x")
    assert (status, out, err) == (2, "", "cannot read 'x': it should be --bind NAME=VALUE\n")


@pytest.mark.parametrize(
    "module", ["click", "rich", "subprocess", "asyncio", "pystachio", "thermos.drawing", "thermos.runtime"]
)
def test_nothing_is_imported_that_it_does_not_need(module: str) -> None:
    program = "import sys; from thermos.cli import main; main(); print(*sys.modules, file=sys.stderr)"
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"]
    done = subprocess.run(
        [*words, "validate", str(EXAMPLES / "hello.yaml")], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert "valid" in done.stdout
    assert module not in done.stderr.split()
