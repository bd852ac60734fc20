"""Every rehearsal beside this file is told as it was when it was last looked at.

The first line of each is the command; then what it prints, and its exit status. `REWRITE=1 pytest tests/rehearsal`
writes them anew: then read the difference.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import pytest

from thermos.cli import main

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = sorted(HERE.glob("*.txt"))


@pytest.fixture
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_rehearsal_is_told_as_before(path: Path, at_the_root: None, capsys: pytest.CaptureFixture[str]) -> None:
    command, _, told = path.read_text().partition("\n")
    words = shlex.split(command)
    assert words[:3] == ["$", "thermos", "simulate"]
    status = main(words[2:])
    out, err = capsys.readouterr()
    now = f"{out}{err}status {status}\n"
    if os.environ.get("REWRITE"):
        path.write_text(f"{command}\n{now}")
    else:
        assert told == now


def test_there_are_rehearsals() -> None:
    assert len(FILES) >= 12


ONE_LIFE = [path for path in FILES if "every_moment" not in path.stem]


@pytest.mark.parametrize("path", ONE_LIFE, ids=lambda path: path.stem)
def test_programs_learn_the_same_as_people(path: Path, at_the_root: None, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(path.read_text().partition("\n")[0])[2:]
    status = main([*words, "--json"])
    out, _ = capsys.readouterr()
    if status == 2:
        assert out == ""
        return
    *records, last = map(json.loads, out.splitlines())
    numbers = [record["seq"] for record in records]
    assert numbers == list(range(1, len(records) + 1))
    summary = last["summary"]
    told = path.read_text()
    assert f"\n{summary['state']} after " in told
    assert f": {summary['reason']}\n" in told
    for process in summary["processes"]:
        assert process["runs"] == sum(r["type"] == "launched" and r["name"] == process["name"] for r in records)
    assert (summary["note"] is None) == summary["over"]


def test_a_file_that_is_no_task_is_refused_as_by_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("processes: []\n")
    assert main(["simulate", str(file)]) == 65
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{file}:1:" in err


def test_a_thousand_processes_are_rehearsed_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": f"p{n}", "cmdline": "true", "after": [f"p{n - 100}"] if n >= 100 else []} for n in range(1000)]
    file = tmp_path / "large.json"
    file.write_text(json.dumps({"processes": rows}))
    begun = time.process_time()
    assert main(["simulate", str(file), "--fail", "p0=always"]) == 1
    seconds = time.process_time() - begun
    assert "p0 failed for good: run 0 FAILED" in capsys.readouterr().out
    assert seconds < 2, "well under a second where nothing else goes on"
