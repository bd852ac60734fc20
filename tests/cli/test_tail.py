"""`thermos tail`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from task_directories import DEADLINE, Cli, process

from thermos.cli.tail import Log
from thermos.core import records as r


def lines(first: int, last: int) -> bytes:
    return b"".join(b"line %d\n" % n for n in range(first, last + 1))


def test_one_process_is_shown_as_it_wrote_ten_lines_of_each_stream(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    task.start(0)
    task.log(0, 0, "stdout", lines(1, 20))
    task.log(0, 0, "stderr", b"oh\n")
    assert cli.run("tail", task.id) == (0, lines(11, 20).decode() + "oh\n", "")


def test_one_stream_of_one_run_can_be_chosen(cli: Cli) -> None:
    task = cli.task("hello-1", process("my web", daemon=True, min_duration=0))
    task.activate()
    for run in range(2):
        task.start(0, run)
        task.log(0, run, "stdout", b"out %d\n" % run)
        task.log(0, run, "stderr", b"err %d\n" % run)
        task.exit(0, run)
    assert cli.run("tail", task.id, "my web")[1] == "out 1\nerr 1\n"
    assert cli.run("tail", task.id, "--stdout")[1] == "out 1\n"
    assert cli.run("tail", task.id, "--stderr", "--run", "0")[1] == "err 0\n"
    assert cli.run("tail", task.id, "--run", "2") == (0, "", "nothing to show of my web/2: its runs are 0 to 1\n")


def test_lines_of_several_processes_are_marked(cli: Cli) -> None:
    task = cli.task("hello-1", "my web", "db", "later")
    task.activate()
    task.start(0)
    task.start(1)
    task.log(0, 0, "stdout", b"one\ntwo")
    task.log(1, 0, "stderr", b"oh\n")
    status, out, err = cli.run("tail", task.id)
    assert (status, out) == (0, "my web/0 stdout| one\nmy web/0 stdout| two\ndb/0 stderr| oh\n")
    assert err == "nothing to show of later: it has not been started\n"
    assert cli.run("tail", task.id, "db")[1] == "oh\n"


def test_json_is_one_object_a_line(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    task.start(0)
    task.log(0, 0, "stdout", b"a \xff\nb")
    _, out, _ = cli.run("tail", task.id, "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"process": "web", "run": 0, "stream": "stdout", "line": "a �"},
        {"process": "web", "run": 0, "stream": "stdout", "line": "b"},
    ]


def test_an_unknown_process_is_refused_with_the_names_there_are(cli: Cli) -> None:
    task = cli.task("hello-1", "web", "db")
    assert cli.run("tail", task.id, "wbe") == (1, "", "cannot show 'wbe': the processes of hello-1 are web, db\n")


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 16])
@pytest.mark.parametrize(
    "data", [b"", b"\n", b"a", b"a\n", b"a\nb", b"a\nb\n", b"\n\n\n", b"aaaa\n\nbb\ncccccccccc\n", b"a\nbbbb\n\nc"]
)
@pytest.mark.parametrize("wanted", [0, 1, 2, 3, 10])
def test_the_last_lines_are_the_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, block: int, wanted: int
) -> None:
    monkeypatch.setattr("thermos.cli.tail._BLOCK", block)
    (tmp_path / "log").write_bytes(data)
    log = Log(os.open(tmp_path / "log", os.O_RDONLY), "web", 0, "stdout")
    shown: list[bytes] = []
    log.skip_to_last(wanted)
    log.copy(lambda _, chunk: shown.append(chunk))
    os.close(log.fd)
    split = data.splitlines(keepends=True)
    assert b"".join(shown) == b"".join(split[max(len(split) - wanted, 0) :])


def test_of_a_huge_log_only_the_end_is_read(cli: Cli) -> None:
    """A hole of 1 TiB before the last line: read in full it would take minutes, or all the memory there is."""
    task = cli.task()
    task.activate()
    task.start(0)
    path = task.log(0, 0, "stdout", b"")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    assert cli.run("tail", task.id, "-n", "1")[1] == "last\n"


def test_following_goes_through_new_runs_until_the_task_has_ended(cli: Cli) -> None:
    task = cli.task("hello-1", process("web", daemon=True, min_duration=0))
    task.take_charge()
    task.activate()
    task.start(0, 0)
    task.log(0, 0, "stdout", lines(1, 20))
    tail = cli.start("tail", "-f", "-n", "1", task.id)
    assert tail.stdout
    assert tail.stdout.readline() == "line 20\n"
    for number in range(20):  # each only after the one before was shown: nothing but its writing tells of it
        task.log(0, 0, "stdout", b"more %d\n" % number)
        assert tail.stdout.readline() == f"more {number}\n"
    task.exit(0, 0)
    task.log(0, 1, "stdout", b"again\n")
    task.start(0, 1)
    assert tail.stdout.readline() == "again\n"
    task.log(0, 1, "stdout", b"no newline at the end")
    task.exit(0, 1)
    task.end()
    out, err = tail.communicate(timeout=DEADLINE)
    assert (tail.returncode, out, err) == (0, "no newline at the end", "")


def test_following_ends_with_a_task_whose_processes_never_wrote_or_never_ran(cli: Cli) -> None:
    task = cli.task("hello-1", "silent", "never")
    task.activate()
    tail = cli.start("tail", "-f", task.id)
    assert tail.stderr
    assert tail.stderr.readline() == "nobody is in charge of hello-1: no new run begins\n"
    task.start(0)
    task.exit(0)
    task.end()
    assert tail.communicate(timeout=DEADLINE) == ("", "")
    assert tail.returncode == 0


def test_following_one_process_ends_when_it_has_finished(cli: Cli) -> None:
    task = cli.task("hello-1", "web", "db")
    task.take_charge()
    task.activate()
    task.start(0)
    task.start(1)
    task.log(0, 0, "stdout", b"one\n")
    tail = cli.start("tail", "-f", task.id, "web")
    assert tail.stdout
    assert tail.stdout.readline() == "one\n"
    task.exit(0)
    assert tail.wait(DEADLINE) == 0


def test_what_lives_on_after_its_main_process_is_followed_too(cli: Cli) -> None:
    task = cli.task("hello-1", "web", "db")
    task.take_charge()
    task.activate()
    task.start(0)
    task.exit(0, 0, code=0, lingers=True)
    tail = cli.start("tail", "-f", task.id, "web")
    assert tail.stdout
    for number in range(20):
        task.log(0, 0, "stdout", b"still here %d\n" % number)
        assert tail.stdout.readline() == f"still here {number}\n"
    task.write(r.Emptied(at=1764000012.0, process=0, run=0))
    assert tail.wait(DEADLINE) == 0


def test_following_a_run_ends_with_it(cli: Cli) -> None:
    task = cli.task("hello-1", process("web", daemon=True, min_duration=0))
    task.take_charge()
    task.activate()
    task.start(0, 0)
    tail = cli.start("tail", "-f", task.id, "--run", "1")
    task.exit(0, 0)
    task.log(0, 1, "stdout", b"second\n")
    task.start(0, 1)
    assert tail.stdout
    assert tail.stdout.readline() == "second\n"
    task.exit(0, 1)
    assert tail.wait(DEADLINE) == 0


def test_a_log_cut_short_is_followed_from_its_new_beginning(cli: Cli) -> None:
    task = cli.task()
    task.take_charge()
    task.activate()
    task.start(0)
    path = task.log(0, 0, "stdout", lines(1, 3))
    tail = cli.start("tail", "-f", "-n", "1", task.id)
    assert tail.stdout
    assert tail.stdout.readline() == "line 3\n"
    os.truncate(path, 0)
    task.log(0, 0, "stdout", b"new\n")
    assert tail.stdout.readline() == "new\n"


@pytest.mark.parametrize("where", ["stdout", "0", "web", ".logs"])
def test_no_link_of_the_tasks_making_is_followed(cli: Cli, tmp_path: Path, where: str) -> None:
    task = cli.task()
    task.activate()
    task.start(0)
    path = task.log(0, 0, "stdout", b"harmless\n")
    while path.name != where:
        path = path.parent
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    status, out, err = cli.run("tail", task.id)
    assert (status, out) == (1, "")
    assert err.startswith(f"cannot read {task.sandbox}/.logs/web/0/stdout: ")


def test_a_pipe_in_a_logs_place_does_not_hang(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    task.start(0)
    path = task.log(0, 0, "stdout", b"")
    path.unlink()
    os.mkfifo(path)
    assert cli.run("tail", task.id) == (1, "", f"cannot read {path}: not a regular file\n")
