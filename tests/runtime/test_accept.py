"""Taking a task in: ids, users, ports, and its directory."""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from thermos import paths
from thermos.checkpoint import lock
from thermos.checkpoint.writing import Writer
from thermos.core import records as r
from thermos.runtime import accept

# -- ids


@pytest.mark.parametrize("task_id", ["a", "A-1_2.3+4:5@6=7", "x" * 200, "0", "_a"])
def test_a_usual_id_is_legal(task_id: str) -> None:
    accept.check_id(task_id)


@pytest.mark.parametrize(
    "task_id", ["", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "é", "x" * 201, "a\0b", "*", "a%", "~", "\u0661"]
)
def test_an_id_that_is_no_safe_directory_name_is_refused(task_id: str) -> None:
    with pytest.raises(accept.CannotAccept, match=r"^cannot use .* as a task id") as caught:
        accept.check_id(task_id)
    assert caught.value.status == 2


@pytest.mark.parametrize("name", ["hello", "Hello World", "a/b", "..", "-x", "é", "", "n" * 300, "a\nb", "日本"])
def test_an_id_made_from_any_name_is_legal(name: str) -> None:
    task_id = accept.new_id(name)
    accept.check_id(task_id)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+-\d{8}T\d{6}-[0-9a-f]{4}", task_id)


def test_an_id_begins_with_the_tasks_name() -> None:
    assert accept.new_id("my.task_1").startswith("my.task_1-")
    assert accept.new_id("hello") != accept.new_id("hello")


# -- users


def test_no_name_is_ourselves() -> None:
    me = accept.user(None)
    assert (me.uid, me.gid, me.groups) == (os.geteuid(), os.getegid(), os.getgroups())
    assert me.name == pwd.getpwuid(os.geteuid()).pw_name


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(accept.CannotAccept, match="cannot run as nosuchuser: this host has no such user") as caught:
        accept.user("nosuchuser")
    assert caught.value.status == 69


@pytest.mark.root
def test_another_user_comes_with_its_groups() -> None:
    nobody = accept.user("nobody")
    assert (nobody.uid, nobody.groups) == (65534, os.getgrouplist("nobody", nobody.gid))


# -- the directory and ports


def settle(root: Path, task_id: str, asked: dict[str, int] | None = None, names: tuple[str, ...] = ("http",)) -> Any:
    """A task with ports, taken in; its lock and its ports."""
    place = accept.Place(str(root), task_id)
    try:
        ports = accept.reserve_ports(str(root), task_id, names, asked or {})
    except accept.CannotAccept:
        place.discard()
        raise
    task = {
        "name": "t",
        "processes": [],
        "max_failures": 1,
        "max_concurrency": 0,
        "finalization_wait": 30.0,
        "user": None,
        "resources": {},
        "env": {},
    }
    accepted = {
        "task_id": task_id,
        "created_at": 0.0,
        "task": task,
        "sandbox": f"{paths.task_dir(str(root), task_id)}/sandbox",
        "user": "root",
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "groups": [],
        "ports": ports,
        "instance": 0,
        "isolation_mode": "none",
        "isolation": [],
        "cgroups": {},
        "env": {},
    }
    settled = place.settle(accepted, accept.user(None), {})
    if not settled:
        place.discard()
    return settled, place.lock, ports


def end(root: Path, task_id: str, lock_fd: int) -> None:
    writer = Writer(f"{paths.task_dir(str(root), task_id)}/{paths.JOURNAL}")
    stages: list[Any] = ["ACTIVE", "CLEANING", "FINALIZING", "SUCCESS"]
    writer.append([r.StageEntered(at=1.0, stage=stage, reason="", result="SUCCESS") for stage in stages])
    writer.close()
    os.close(lock_fd)


def test_a_task_is_in_its_place_at_one_stroke_with_its_lock_held(tmp_path: Path) -> None:
    settled, held, _ = settle(tmp_path, "a")
    assert settled
    assert sorted(path.name for path in (tmp_path / "tasks").iterdir()) == ["a"]
    assert sorted(path.name for path in (tmp_path / "tasks/a").iterdir()) == ["lock", "sandbox", "task.json"]
    with open(tmp_path / "tasks/a/lock", "r+") as file:
        assert lock.held(file.fileno())
    os.close(held)
    with open(tmp_path / "tasks/a/lock", "r+") as file:
        assert not lock.held(file.fileno())


def test_the_second_of_an_id_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    settle(tmp_path, "a")
    before = (tmp_path / "tasks/a/task.json").read_bytes()
    assert settle(tmp_path, "a", names=())[0] is False
    assert (tmp_path / "tasks/a/task.json").read_bytes() == before
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["a"]


def test_what_is_discarded_leaves_nothing_and_lets_the_next_one_in(tmp_path: Path) -> None:
    accept.Place(str(tmp_path), "a").discard()
    assert list((tmp_path / "tasks").iterdir()) == []
    assert settle(tmp_path, "a")[0]


def test_tasks_of_one_id_under_two_roots_have_different_groups(tmp_path: Path) -> None:
    one, other = accept.Place(str(tmp_path / "one"), "a"), accept.Place(str(tmp_path / "other"), "a")
    assert one.group != other.group
    assert (one.group.startswith("a."), other.group.startswith("a.")) == (True, True)


def test_a_port_of_its_number_is_given_to_one_task_only(tmp_path: Path) -> None:
    settle(tmp_path, "a", {"http": 12345})
    with pytest.raises(accept.CannotAccept, match="port http the number 12345: another task holds it") as caught:
        settle(tmp_path, "b", {"http": 12345})
    assert caught.value.status == 69
    assert os.readlink(tmp_path / "ports/12345") == "a"
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["a"]


def test_a_port_of_an_ended_task_is_given_again(tmp_path: Path) -> None:
    _, held, _ = settle(tmp_path, "a", {"http": 12345})
    end(tmp_path, "a", held)
    assert settle(tmp_path, "b", {"http": 12345})[2] == {"http": 12345}
    assert os.readlink(tmp_path / "ports/12345") == "b"


def test_a_port_of_a_task_that_nobody_supervises_is_its_own_still(tmp_path: Path) -> None:
    _, held, _ = settle(tmp_path, "a", {"http": 12345})
    os.close(held)
    with pytest.raises(accept.CannotAccept):
        settle(tmp_path, "b", {"http": 12345})


def test_a_port_of_a_task_that_never_was_is_given(tmp_path: Path) -> None:
    """Its `run` was killed before the task was in its place."""
    (tmp_path / "ports").mkdir(parents=True)
    (tmp_path / "ports/12345").symlink_to("killed")
    assert settle(tmp_path, "b", {"http": 12345})[2] == {"http": 12345}


def test_where_one_port_is_refused_the_others_are_given_back(tmp_path: Path) -> None:
    settle(tmp_path, "a", {"http": 12345})
    with pytest.raises(accept.CannotAccept):
        settle(tmp_path, "b", {"http": 12345}, names=("admin", "http"))
    assert [path.name for path in (tmp_path / "ports").iterdir()] == ["12345"]


def test_tasks_that_begin_at_the_same_moment_never_get_the_same_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "PORTS", range(31400, 31440))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: settle(tmp_path, f"task-{number}"), range(30)))
    given = [ports["http"] for _, _, ports in done]
    assert len(set(given)) == 30
    assert {os.readlink(path) for path in (tmp_path / "ports").iterdir()} == {f"task-{n}" for n in range(30)}


def test_a_port_that_somebody_listens_on_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        monkeypatch.setattr(accept, "PORTS", range(taken, taken + 1))
        with pytest.raises(accept.CannotAccept, match="cannot find a free port for http") as caught:
            settle(tmp_path, "a")
    assert caught.value.status == 69
    assert list((tmp_path / "ports").iterdir()) == []
    assert list((tmp_path / "tasks").iterdir()) == []


def test_ports_of_one_task_have_different_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "PORTS", range(31460, 31470))
    names = tuple("abcdefghi")
    _, _, ports = settle(tmp_path, "a", {"i": 31465}, names=names)
    assert len(set(ports.values())) == len(names)


def test_where_every_port_is_held_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "PORTS", range(31450, 31452))
    settle(tmp_path, "a", names=("one", "two"))
    with pytest.raises(accept.CannotAccept, match="cannot find a free port for http from 31450 to 31451"):
        settle(tmp_path, "b")


def test_task_json_is_what_was_accepted(tmp_path: Path) -> None:
    settle(tmp_path, "a", {"http": 12345})
    assert json.loads((tmp_path / "tasks/a/task.json").read_text())["ports"] == {"http": 12345}
