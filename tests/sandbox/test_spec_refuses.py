"""What a caller of the library asks for and gets no sandbox with: told when it is said, and not left out in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.namespaces import NAMESPACES
from sandbox.spec import Limits, Root, Spec, Users, Volume

MOUNT = ("mount",)
_LIST = "expected a list of texts"

WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (("pidd",), {}, "cannot make a namespace 'pidd': there are user, pid, time, mount, ipc, uts, cgroup, net"),
    ("pid", {}, f"cannot use 'pid' as namespaces: {_LIST}"),
    (MOUNT, {"keep": "/x"}, f"cannot use '/x' as keep: {_LIST}"),
    (MOUNT, {"devices": "/dev/fuse"}, f"cannot use '/dev/fuse' as devices: {_LIST}"),
    (MOUNT, {"hide": "/srv"}, f"cannot use '/srv' as hide: {_LIST}"),
    (MOUNT, {"sandbox": Path("/x")}, f"cannot use {Path('/x')!r} as a path: expected a text"),
    (MOUNT, {"devices": ["/dev/fuse", "/dev/fuse"]}, "cannot give two devices /dev/fuse"),
    (MOUNT, {"volumes": [Volume("/a", "/b"), Volume("/c", "/b")]}, "cannot give two volumes at /b"),
    (MOUNT, {"tmp_size": -5}, "cannot give tmp_size of -5: expected a number of bytes, at least 1"),
    (MOUNT, {"shm_size": "5M"}, "cannot give shm_size of '5M': expected a number of bytes, at least 1"),
    (MOUNT, {"root": Root(["x"])}, "cannot use 'x' in a root: it must be an absolute path"),
    (MOUNT, {"root": Root(["/x"], "up", "/w")}, "cannot use 'up' in a root: it must be an absolute path"),
    (MOUNT, {"hidepid": True}, "cannot give hidepid: it takes a mount and a pid namespace"),
    (("pid",), {"hidepid": True}, "cannot give hidepid: it takes a mount and a pid namespace"),
]
WITHOUT_A_MOUNT_NAMESPACE: dict[str, Any] = {
    "root": Root(["/x"]),
    "read_only": True,
    "volumes": [Volume("/a", "/b")],
    "tmp_size": 4096,
    "shm_size": 4096,
    "dev": True,
    "devices": ["/dev/fuse"],
    "masks": True,
    "hide": ["/srv"],
}


@pytest.mark.parametrize(("namespaces", "more", "said"), WRONG)
def test_what_makes_no_sense_is_said_at_once(namespaces: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Spec(namespaces, **more)
    assert str(caught.value) == said


@pytest.mark.parametrize("name", WITHOUT_A_MOUNT_NAMESPACE)
def test_a_view_without_a_mount_namespace_is_not_left_out_in_silence(name: str) -> None:
    asked = {name: WITHOUT_A_MOUNT_NAMESPACE[name]}
    Spec(MOUNT, **asked)
    with pytest.raises(ValueError, match=f"cannot give {name}: it takes a mount namespace"):
        Spec(("pid", "net"), **asked)


def test_every_namespace_there_is_may_be_asked_for() -> None:
    assert Spec([*NAMESPACES], users=Users.one(0, 0)).namespaces == tuple(NAMESPACES)


def test_the_directories_of_a_root_are_a_list() -> None:
    with pytest.raises(ValueError, match="cannot use '/x' as the directories of a root: expected a list"):
        Root("/x")


@pytest.mark.parametrize("rows", [[], [(0, -1, 1)], [(0, 1, 0)], [(0, 1 << 32, 1)], [(0, (1 << 32) - 2, 2)]])
def test_ids_that_no_user_namespace_has_are_refused(rows: list[tuple[int, int, int]]) -> None:
    good = [(0, 1000, 1)]
    for users in (Users(rows, good), Users(good, rows)):
        with pytest.raises(ValueError, match="cannot make a user namespace: expected rows of"):
            Spec(("user",), users=users)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cpu": "1"}, "cannot limit cpu to '1': expected a number from 0 on, or -1 for no limit"),
        ({"cpu": float("nan")}, "cannot limit cpu to nan: expected a number from 0 on, or -1 for no limit"),
        ({"memory": -5}, "cannot limit memory to -5: expected a whole number from 0 on, or -1 for no limit"),
        ({"memory": "5M"}, "cannot limit memory to '5M': expected a whole number from 0 on, or -1 for no limit"),
        ({"pids": 1.5}, "cannot limit pids to 1.5: expected a whole number from 0 on, or -1 for no limit"),
        ({"swap": True}, "cannot limit swap to True: expected a whole number from 0 on, or -1 for no limit"),
        ({"oom": "all"}, "cannot use 'all' as oom: expected 'process' or 'group'"),
    ],
)
def test_what_is_no_limit_is_not_taken_for_none(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Limits(**asked)
    assert str(caught.value) == said


def test_limits_there_may_be_are_taken() -> None:
    asked = {"cpu": 0.5, "cpu_burst": 0, "memory": -1, "swap": 0, "pids": 5, "oom": "group", "io": (), "cpus": ""}
    assert Limits(**asked).asked() == asked  # type: ignore[arg-type]
