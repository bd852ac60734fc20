"""What cannot be run is refused in one clear message, with the exit status that says why, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, groups

HELLO: list[dict[str, Any]] = [{"name": "hello", "cmdline": RAN}]


def refused(program: Program, status: int, *words: str, **how: Any) -> str:
    """The message of a `run` that is refused; nothing is left of it."""
    done = program.done("run", *words, **how)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert "Traceback" not in done.stderr
    nothing_left(program)
    return done.stderr


def nothing_left(program: Program) -> None:
    until(lambda: not program.alive(), f"processes are left: {program.alive()}")
    assert groups(program) == []
    for directory in ("tasks", "ports"):
        assert not list(program.root.glob(f"{directory}/*")) + list(program.root.glob(f"{directory}/.*"))


def file(program: Program, text: str | bytes, name: str = "bad.yaml") -> str:
    path = program.base / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


# -- the file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: a\nprocesses: [{name: p, cmdline: 'true'}]\nmax_failure: 3\n", r":3:1: .*max_failure.*max_failures"),
        ("name: a\nprocesses: [{name: p, cmdline: 'true', max_failures: many}]\n", r":2:\d+: .*max_failures"),
        ("name: a\nprocesses: [{name: p}]\n", r":2:\d+: .*cmdline"),
        ("name: a\nprocesses: [{name: p, cmdline: 'true'}, {name: p, cmdline: 'true'}]\n", r":2:\d+: .*\bp\b"),
        (
            "name: a\nprocesses: [{name: p, cmdline: x, after: [q]}, {name: q, cmdline: x, after: [p]}]\n",
            r"p.*q.*p|q.*p.*q",
        ),
        ("name: a\nprocesses: [{name: p, cmdline: x, after: [nobody]}]\n", r":2:\d+: .*nobody"),
        ("name: [a\n", r":\d+:\d+: "),
        ("", r"bad\.yaml"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", r"bad\.yaml"),
        (b"name: \xff\xfe\n", r"bad\.yaml"),
        ("name: a\nprocesses: [{name: p, cmdline: '{{unknown}}'}]\n", r":2:\d+: .*unknown"),
    ],
    ids=[
        "unknown field",
        "wrong type",
        "nothing to run",
        "duplicate names",
        "cycle",
        "unknown process",
        "no yaml",
        "empty",
        "binary",
        "no text",
        "unknown template",
    ],
)
def test_a_file_that_is_no_task_is_refused_with_its_place(program: Program, text: str | bytes, says: str) -> None:
    path = file(program, text)
    message = refused(program, 65, path)
    assert message.startswith(path)
    assert re.search(says, message), message


def test_all_errors_are_told_at_once(program: Program) -> None:
    text = "name: a\nfoo: 1\nprocesses:\n- {name: p, cmdline: 'true', bar: 2}\n- {name: p, cmdline: 3}\n"
    message = refused(program, 65, file(program, text))
    assert {"foo", "bar"} <= set(re.findall(r"\b(?:foo|bar)\b", message))
    assert len(message.splitlines()) >= 3


def test_a_missing_file_is_named(program: Program) -> None:
    assert str(program.base / "none.yaml") in refused(program, 65, str(program.base / "none.yaml"))


def test_a_directory_is_no_file(program: Program) -> None:
    (program.base / "dir.yaml").mkdir()
    assert str(program.base / "dir.yaml") in refused(program, 65, str(program.base / "dir.yaml"))


def test_a_file_of_an_unknown_kind_is_refused(program: Program) -> None:
    assert "bad.txt" in refused(program, 65, file(program, "name: a\n", "bad.txt"))


@pytest.mark.root
def test_a_file_that_may_not_be_read_is_named(nobody: Program) -> None:
    path = file(nobody, "name: a\n")
    os.chmod(path, 0o600)
    message = refused(nobody, 65, path)
    assert (path in message, "permission denied" in message) == (True, True)


def test_a_task_on_standard_input_is_refused_as_such(program: Program) -> None:
    with open(file(program, "name: a\nfoo: 1\n")) as text:
        assert re.match(r"-|<?stdin|standard input", refused(program, 65, "-", stdin=text))


# -- the command line


@pytest.mark.parametrize(
    "words",
    [
        ["--task-id", "a/b"],
        ["--task-id", ".."],
        ["--task-id", "x" * 201],
        ["--task-id", ""],
        ["--port", "http"],
        ["--port", "http=0"],
        ["--port", "http=65536"],
        ["--port", "other=80"],
        ["--bind", "NAME"],
        ["--isolation", "some"],
        ["--instance", "x"],
        ["--no-such-option"],
    ],
)
def test_a_wrong_option_is_wrong_usage(program: Program, words: list[str]) -> None:
    path = program.write([{"name": "p", "cmdline": "echo {{thermos.ports[http]}}"}])
    message = refused(program, 2, path, *words)
    assert words[0] in message or repr(words[1]) in message, message


def test_no_file_is_wrong_usage(program: Program) -> None:
    assert "file" in refused(program, 2).lower()


# -- the host


def test_an_unknown_user_is_refused(program: Program) -> None:
    message = refused(program, 69, program.write(HELLO), "--user", "nosuchuser", "--task-id", program.id)
    assert message == "cannot run as nosuchuser: this host has no such user\n"


@pytest.mark.root
def test_a_port_that_another_task_holds_is_refused(program: Program) -> None:
    with socket.socket() as listener:  # a number that nothing else has
        listener.bind(("127.0.0.1", 0))
        number = listener.getsockname()[1]
    serve = [{"name": "p", "cmdline": AWAIT.format("go") + "echo {{thermos.ports[http]}}"}]
    run = program.begin(serve, "--port", f"http={number}")
    until(program.started)
    before = sorted(path.name for path in (program.root / "tasks").iterdir())
    done = program.done(
        "run", str(program.base / "task.json"), "--task-id", f"{program.id}-2", "--port", f"http={number}"
    )
    assert (done.returncode, done.stderr) == (69, f"cannot give port http the number {number}: another task holds it\n")
    assert sorted(path.name for path in (program.root / "tasks").iterdir()) == before
    program.touch("go")
    assert run.wait() == 0
    again = program.done(
        "run", str(program.base / "task.json"), "--task-id", f"{program.id}-3", "--port", f"http={number}", "--detach"
    )
    assert again.returncode == 0
    (program.root / "tasks" / f"{program.id}-3" / "sandbox/go").touch()
    assert program.done("wait", f"{program.id}-3").returncode == 0


# -- the directory


@pytest.fixture
def tiny(program: Program) -> Iterator[Path]:
    """The root, on a file system with next to no space."""
    program.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,nr_inodes=64", "none", str(program.root)], check=True)
    yield program.root
    subprocess.run(["umount", str(program.root)], check=True)


@pytest.mark.root
def test_no_space_for_the_task_is_told(program: Program, tiny: Path) -> None:
    (tiny / "full").write_bytes(b"x" * 8192)
    message = refused(program, 73, program.write([{"name": "p", "cmdline": "true #" + "x" * 20000}]))
    assert message.startswith(f"cannot create the task in {tiny}: No space left on device")


@pytest.mark.root
def test_no_inode_for_the_task_is_told(program: Program, tiny: Path) -> None:
    for number in range(100):
        try:
            (tiny / str(number)).touch()
        except OSError:
            break
    message = refused(program, 73, program.write(HELLO))
    assert message.startswith(f"cannot create the task in {tiny}: No space left on device")


@pytest.mark.root
def test_a_read_only_root_is_told(program: Program, tiny: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny)], check=True)
    message = refused(program, 73, program.write(HELLO))
    assert message.startswith(f"cannot create the task in {tiny}: Read-only file system")


@pytest.mark.root
@pytest.mark.parametrize("words", [[], ["--detach"], ["--json"]])
def test_a_root_of_somebody_elses_is_told(nobody: Program, words: list[str]) -> None:
    os.chown(nobody.root.parent, 0, 0)
    message = refused(nobody, 73, nobody.write(HELLO), *words)
    assert message.startswith(f"cannot create the task in {nobody.root}: Permission denied")


def test_a_root_that_is_a_file_is_told(program: Program) -> None:
    program.root.write_text("")
    done = program.done("run", program.write(HELLO))
    assert done.returncode == 73
    assert done.stderr.startswith(f"cannot create the task in {program.root}: ")
    program.root.unlink()


@pytest.mark.root
def test_a_sandbox_that_cannot_be_made_is_told(program: Program) -> None:
    (program.base / "file").write_text("")
    message = refused(program, 73, program.write(HELLO), "--sandbox", str(program.base / "file/below"))
    assert "Not a directory" in message


# -- a plain user


@pytest.mark.root
def test_a_plain_user_runs_best_effort_and_is_shown_what_is_missing(nobody: Program) -> None:
    path = nobody.write(HELLO, resources={"cpu": 0.5, "ram": "64MiB"})
    done = nobody.done("run", path, "--task-id", nobody.id, "--isolation", "best-effort")
    assert done.returncode == 0, done.stderr
    assert nobody.ran() == ["hello 0"]
    rows = {row["what"]: row for row in nobody.status()["isolation"]}
    for what in ("cpu", "memory", "processes"):
        assert rows[what]["got"] is None, rows
        assert rows[what]["why_not"], rows
    for what in ("user", "pid", "mount", "ipc", "uts", "/proc", "read-only root"):
        assert rows[what]["got"] == "private", rows
    assert nobody.sandbox.stat().st_uid == 65534


@pytest.mark.root
def test_a_plain_user_is_refused_limits_under_strict(nobody: Program) -> None:
    message = refused(nobody, 69, nobody.write(HELLO, resources={"cpu": 0.5, "ram": "64MiB", "pids": 9}))
    for field in ("resources.cpu (0.5 cores)", "resources.ram (64 MiB)", "resources.pids (9)"):
        assert field in message


@pytest.mark.root
def test_a_plain_user_runs_strict_what_asks_for_nothing(nobody: Program) -> None:
    assert nobody.done("run", nobody.write(HELLO), "--task-id", nobody.id).returncode == 0
    assert nobody.ran() == ["hello 0"]


@pytest.mark.root
def test_a_plain_user_cannot_be_another(nobody: Program) -> None:
    """PR-3, without root."""
    message = refused(nobody, 69, nobody.write(HELLO), "--user", "root")
    assert message == "cannot run as root: only root can become another user\n"


def watches(pid: int) -> bool:
    """Whether a process holds a pidfd."""
    try:
        return any("pidfd" in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


@pytest.mark.exit_facts
@pytest.mark.root
def test_a_plain_users_task_is_recovered_too(nobody: Program) -> None:
    """Without cgroups and namespaces of its own."""
    processes = [
        {"name": "first", "cmdline": RAN + AWAIT.format("go")},
        {"name": "second", "cmdline": RAN, "after": ["first"]},
    ]
    run = nobody.begin(processes)
    until(lambda: nobody.ran() == ["first 0"])
    nobody.kill(nobody.supervisor())
    until(lambda: watches(nobody.supervisor()), "the new supervisor does not know of the process")
    nobody.kill(nobody.keeper())
    run.wait()
    (nobody.sandbox / "go").touch()
    assert nobody.done("wait", nobody.id).returncode == 0
    assert nobody.ran() == ["first 0", "second 0"]
    until(lambda: not nobody.alive(), "the keeper did not end")


@pytest.mark.root
def test_processes_may_run_as_another_user_than_root(program: Program) -> None:
    for directory in (program.base, *program.base.parents):
        if directory.stat().st_uid == 0:
            directory.chmod(directory.stat().st_mode | 0o011)
    run = program.begin([{"name": "who", "cmdline": "id -un; touch made; umask"}], user="nobody")
    assert run.wait() == 0, run.stderr and run.stderr.read()
    assert program.log("who") == "nobody\n0022\n"
    assert (program.sandbox / "made").stat().st_uid == 65534
    assert program.sandbox.stat().st_uid == 65534


@pytest.mark.root
def test_a_careful_umask_does_not_keep_the_tasks_user_out(program: Program) -> None:
    for directory in (program.base, *program.base.parents):
        if directory.stat().st_uid == 0:
            directory.chmod(directory.stat().st_mode | 0o011)
    run = program.begin([{"name": "who", "cmdline": "id -un"}], user="nobody", umask=0o077)
    assert run.wait() == 0, run.stderr and run.stderr.read()
    assert program.log("who") == "nobody\n"
