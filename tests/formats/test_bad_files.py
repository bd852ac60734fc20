"""Every file in tests/bad, and the exact messages it deserves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thermos.formats import TaskFileError, load

BAD = Path(__file__).parent.parent / "bad"
FILES = sorted(path.name for path in BAD.iterdir() if path.is_file() and path.suffix != ".txt")


def refusal(path: str) -> str:
    with pytest.raises(TaskFileError) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_gets_all_its_messages_with_line_and_column(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decision 6. Circles are PL-5, orders that make no sense PL-10, those that mix the two plans PL-16."""
    monkeypatch.chdir(BAD)
    assert refusal(name) == Path(name).with_suffix(".txt").read_text().rstrip("\n")


@pytest.mark.parametrize("name", FILES)
def test_every_message_begins_with_cannot_and_every_problem_has_its_file(name: str) -> None:
    with pytest.raises(TaskFileError) as caught:
        load(str(BAD / name))
    for problem in caught.value.problems:
        assert problem.message.startswith("cannot ")
        assert Path(problem.file) == BAD / name or Path(problem.file).parent == BAD / "parts"
        assert problem.path in problem.message
        assert str(problem).count("\n") == 0


def test_what_an_env_file_holds_is_in_no_message(tmp_path: Path) -> None:
    (tmp_path / "s.env").write_text(
        'A=hunter2\nhunter2\nB=\'hunter2\nC="x" hunter2\nA=hunter2\nD=' + "hunter2" * 20_000
    )
    (tmp_path / "t.env").write_bytes(b"A=hunter2\xff")
    file = tmp_path / "task.yaml"
    file.write_text("env_file: [s.env, t.env]\nprocesses: [{name: a, cmdline: x, env: {A: 3}, after: zzz}]\n")
    said = refusal(str(file))
    assert len(said.splitlines()) == 8
    assert "hunter2" not in said
    assert "0x" not in said


def test_a_missing_file_is_named_in_the_error() -> None:
    assert refusal("nowhere.yaml") == "nowhere.yaml: cannot read the task file: no such file or directory"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "d.yaml"
    directory.mkdir()
    assert refusal(str(directory)) == f"{directory}: cannot read the task file: is a directory"


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret.json"
    if os.geteuid() == 0:  # what root may not read either: a file of the kernel's that can only be written
        file.symlink_to("/proc/sys/net/ipv4/route/flush")
    else:
        file.write_text("{}")
        file.chmod(0)
    assert refusal(str(file)) == f"{file}: cannot read the task file: permission denied"


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "memory.yaml"
    file.symlink_to("/proc/self/mem")
    assert refusal(str(file)) == f"{file}: cannot read the task file: input/output error"


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    file.touch()
    os.truncate(file, 1 << 40)
    assert refusal(str(file)) == f"{file}: cannot read the task file: it is larger than 64 MiB"


@pytest.mark.parametrize("what", ["fifo", "/dev/zero", "/dev/full"])
def test_what_may_have_no_end_is_refused(tmp_path: Path, what: str) -> None:
    """Also where a task file names it: it would have us wait for somebody to write."""
    file = tmp_path / "endless.yaml"
    os.mkfifo(file) if what == "fifo" else file.symlink_to(what)
    why = "it is no regular file; standard input is named -"
    assert refusal(str(file)) == f"{file}: cannot read the task file: {why}"
    for field in ("include", "env_file"):
        names = tmp_path / "names.yaml"
        names.write_text(f"{field}: {file}\nprocesses: [{{name: a, cmdline: x}}]\n")
        assert why in refusal(str(names))


@pytest.mark.parametrize("name", ["task.ini", "task", "task.yaml.bak", ".yaml", "a\0.json"])
def test_a_file_of_an_unknown_kind_is_refused(name: str) -> None:
    assert "cannot read the task file: " in refusal(name)


def test_json_nested_beyond_the_interpreters_own_limit_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "deep.json"
    file.write_text('{"processes": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert refusal(str(file)) == f"{file}:1:114: cannot read the task file: nested more than 100 levels deep"


def test_a_text_longer_than_linux_takes_in_one_argument_is_refused(tmp_path: Path) -> None:
    long = "x" * 131_071
    file = tmp_path / "long.json"
    file.write_text(
        f'{{"env": {{"A": "{long[2:]}", "B": "{long[1:]}"}},\n'
        f'"processes": [{{"name": "a", "cmdline": "{long}"}},\n{{"name": "b", "argv": ["{long}",\n"{long}y"]}}]}}'
    )
    message = "it is 131072 bytes long; Linux takes at most 131071 in one argument or variable"
    assert refusal(str(file)).splitlines() == [
        f"{file}:1:131088: cannot use env.B: {message}",
        f"{file}:4:1: cannot use processes[1].argv[1]: {message}",
    ]


def test_a_text_of_many_bytes_in_few_characters_is_measured_in_bytes(tmp_path: Path) -> None:
    file = tmp_path / "wide.json"
    file.write_text(f'{{"processes": [{{"name": "a", "cmdline": "{"😀" * 33_000}"}}]}}')
    assert "it is 132000 bytes long" in refusal(str(file))


def test_ten_thousand_processes_in_a_circle_are_one_problem(tmp_path: Path) -> None:
    file = tmp_path / "circle.json"
    names = ", ".join(f'"p{number}"' for number in range(10_000))
    processes = ", ".join(f'{{"name": "p{number}", "cmdline": "true"}}' for number in range(10_000))
    file.write_text(f'{{"processes": [{processes}], "constraints": [{{"order": [{names}, "p0"]}}]}}')
    (line,) = refusal(str(file)).splitlines()
    assert "... (10000 processes)" in line
