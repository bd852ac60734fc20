"""`thermos status`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from task_directories import Cli, process

from thermos import paths
from thermos.checkpoint import tasks
from thermos.core import records as r


def test_json_is_the_list_of_task_statuses(cli: Cli) -> None:
    task = cli.task("hello-1", "web", "db")
    task.take_charge()
    task.activate()
    task.start(0)
    status, out, err = cli.run("status", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads(msgspec.json.encode([tasks.status(str(cli.root), "hello-1")]))
    (shown,) = json.loads(out)
    assert (shown["state"], shown["supervised"], shown["ports"]) == ("ACTIVE", True, {"http": 31001})
    assert [p["state"] for p in shown["processes"]] == ["RUNNING", "WAITING"]


def test_the_table_has_a_line_for_each_task(cli: Cli) -> None:
    running = cli.task("hello-1", "web", "db")
    running.take_charge()
    running.activate()
    running.start(0)
    ended = cli.task("hello-2", "web")
    ended.activate()
    ended.end("FAILED", "1 process failed for good, the limit is 1")
    status, out, err = cli.run("status")
    assert (status, err) == (0, "")
    heads, *lines = out.splitlines()
    assert heads.split() == ["TASK", "STATE", "TOOK", "USER", "PROCESSES", "WHY"]
    assert [line.split()[:2] for line in lines] == [["hello-1", "ACTIVE"], ["hello-2", "FAILED"]]
    assert "1 running, 1 waiting" in lines[0]
    assert "1 process failed for good" in lines[1]


def test_a_task_without_anyone_in_charge_says_how_to_resume_it(cli: Cli) -> None:
    cli.task("hello-1").activate()
    assert "nobody is in charge: thermos resume hello-1" in cli.run("status")[1]


def test_a_named_task_is_shown_with_runs_exits_and_isolation(cli: Cli) -> None:
    task = cli.task("hello-1", process("web", max_failures=3), "later")
    task.activate()
    task.write(
        r.Sandboxed(at=1764000001.5, init=5, got={"pid": "private"}, missing={"net": "no CAP_NET_ADMIN"}),
    )
    task.start(0, 0, 4241)
    task.exit(0, 0, code=3)
    task.start(0, 1, 4242)
    task.write(r.Exited(at=1764000010.5, process=0, run=1, source="pidfd", signal=9, oom=True))
    status, out, _ = cli.run("status", "hello-1")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    newest = next(line for line in lines if line[:1] == ["web"])
    older = lines[lines.index(newest) + 1]
    assert newest[1:4] == ["FAILED", "1", "4242"]
    assert older[:3] == ["FAILED", "0", "4241"]
    assert "killed by SIGKILL: out of memory (seen by: pidfd)" in out
    assert "exited with 3" in out
    assert ["later", "WAITING"] in lines
    assert ["memory", "256", "MiB", "256", "MiB", "(cgroup", "v1)"] in lines
    assert ["disk", "1", "GiB", "not", "given:", "no", "quota", "here"] in lines
    assert ["net", "private", "not", "given:", "no", "CAP_NET_ADMIN"] in lines


def test_death_by_a_real_time_signal_has_a_name(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    task.start(0)
    task.exit(0, 0, signal=40)
    assert "killed by SIGRTMIN+6" in cli.run("status", "hello-1")[1]


def test_an_unknown_id_is_said_and_the_others_are_shown(cli: Cli) -> None:
    cli.task("hello-1").activate()
    status, out, err = cli.run("status", "hello", "hello-1", "--json")
    assert status == 1
    assert [task["task_id"] for task in json.loads(out)] == ["hello-1"]
    assert err == f"cannot find task hello under {cli.root}; did you mean hello-1?\n"


def test_a_directory_without_a_task_is_not_a_task_and_not_what_was_meant(cli: Cli) -> None:
    cli.task("hello-1").activate()
    Path(paths.task_dir(cli.root, "hello")).mkdir()
    assert cli.run("status", "hello")[2] == f"cannot find task hello under {cli.root}; did you mean hello-1?\n"


@pytest.mark.parametrize("task_id", ["..", "../../etc", "", "."])
def test_an_id_never_leads_out_of_the_root(cli: Cli, task_id: str) -> None:
    status, _, err = cli.run("status", task_id)
    assert status == 1
    assert err.startswith("cannot find task")


def test_no_tasks_is_an_empty_list_for_programs_and_a_message_for_people(cli: Cli) -> None:
    assert cli.run("status", "--json") == (0, "[]\n", "")
    assert cli.run("status") == (0, "", f"no tasks under {cli.root}\n")


def test_a_damaged_task_does_not_hide_the_others(cli: Cli) -> None:
    cli.task("a").activate()
    (cli.task("b").directory / "task.json").write_text("{")
    cli.task("c").journal.write_bytes(b"something else")
    illegal = cli.task("d")
    illegal.activate()
    illegal.activate()
    status, out, err = cli.run("status", "--json")
    assert status == 1
    assert [task["task_id"] for task in json.loads(out)] == ["a"]
    assert [line.split(":")[0] for line in err.splitlines()] == [
        f"cannot read {cli.root}/tasks/b/task.json",
        f"cannot read {cli.root}/tasks/c/journal at offset 0",
        f"cannot make sense of {cli.root}/tasks/d/journal",
    ]


def test_names_cannot_command_the_terminal(cli: Cli) -> None:
    task = cli.task("hello-1", "[red]\x1b[2Jweb\n")
    task.activate()
    out = cli.run("status", "hello-1")[1]
    assert "[red]�[2Jweb�" in out


@pytest.fixture
def open_root(cli: Cli) -> Iterator[Path]:
    """A root that everybody may reach: pytest's own directories are private."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        cli.root = Path(directory)
        yield cli.root


@pytest.mark.root
def test_what_may_not_be_read_is_said_and_the_rest_is_shown(cli: Cli, open_root: Path) -> None:
    mine = cli.task("mine")
    mine.activate()
    mine.journal.chmod(0o644)
    cli.task("other").directory.chmod(0o700)
    program = """
import os, sys
from thermos.cli import errors, main, status
os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(main())
"""
    words = ["status", "--json", "--root", str(open_root)]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert [task["task_id"] for task in json.loads(done.stdout)] == ["mine"]
    assert done.stderr.startswith(f"cannot open {open_root}/tasks/other/task.json: Permission denied")


def test_a_pipe_gets_whole_lines_however_long(cli: Cli) -> None:
    task = cli.task("x" * 200, *[f"process-{n}" for n in range(3)])
    task.activate()
    _, out, _ = cli.run("status")
    assert out.splitlines()[1].startswith("x" * 200 + "  ")
