"""Groups that are frozen: they stand still, can be killed and removed, and go on when they are let go."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deadline import until

from sandbox.cgroups import freezer, tree

pytestmark = pytest.mark.root

Group = dict[str, str]
Count = Callable[[Group, str], subprocess.Popen[str]]


@pytest.fixture(params=["unified", "freezer"])
def frozen_by(request: pytest.FixtureRequest, group: Group, tmp_path: Path) -> Iterator[Group]:
    """A group that is frozen by the version 2 tree, or as on a host that has none, by version 1's freezer."""
    if request.param == "unified":
        yield {"unified": group["unified"]}
        return
    mine = tree.own()
    if "freezer" not in mine:
        pytest.skip("this host has no version 1 freezer for us")
    directory = f"{mine['freezer']}/thermos/{os.path.basename(group['unified'])}"
    os.makedirs(directory)
    alone = {"freezer": directory}
    yield alone
    until(lambda: tree.remove_tree(alone), "the group is still there")
    assert not os.path.exists(directory)


@pytest.fixture
def count(tmp_path: Path) -> Iterator[Count]:
    """A process in a leaf that counts in a file as fast as it can."""
    running: list[tuple[Group, subprocess.Popen[str]]] = []

    def count(group: Group, leaf: str) -> subprocess.Popen[str]:
        tree.make_leaf(group, leaf)
        joins = "".join(f"echo $$ > {file}; " for file in tree.joins(group, leaf))
        script = f"{joins} i=0; while :; do i=$((i+1)); echo $i > {tmp_path}/{leaf}; done"
        process = subprocess.Popen(["/bin/sh", "-c", script], text=True)
        running.append((group, process))
        until(lambda: number(tmp_path / leaf), f"nothing counts in {leaf}")
        return process

    yield count
    for group, process in running:
        if os.path.isdir(next(iter(group.values()))):
            freezer.thaw(group)  # in version 1 SIGKILL waits for it
        process.kill()
        process.wait()


def number(file: Path) -> int:
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdecimal() else 0


def moves(file: Path) -> bool:
    """Whether it counts within the time in which a process that may run counts thousands."""
    before = file.stat().st_mtime_ns
    for _ in range(20_000):
        os.sched_yield()
        if file.stat().st_mtime_ns != before:
            return True
    return False


def test_a_frozen_group_stands_still_with_all_its_leaves_and_goes_on_afterwards(
    frozen_by: Group, count: Count, tmp_path: Path
) -> None:
    count(frozen_by, "one.0")
    count(frozen_by, "two.0")
    assert not freezer.frozen(frozen_by)
    freezer.freeze(frozen_by)
    until(lambda: freezer.frozen(frozen_by), "it did not freeze")
    assert not moves(tmp_path / "one.0")
    assert not moves(tmp_path / "two.0")
    freezer.freeze(frozen_by)  # again: nothing happens
    freezer.thaw(frozen_by)
    until(lambda: moves(tmp_path / "one.0") and moves(tmp_path / "two.0"), "it did not go on")
    assert not freezer.frozen(frozen_by)
    freezer.thaw(frozen_by)


def test_a_leaf_is_frozen_by_itself(frozen_by: Group, count: Count, tmp_path: Path) -> None:
    count(frozen_by, "one.0")
    count(frozen_by, "two.0")
    leaf = tree.leaf_group(frozen_by, "one.0")
    freezer.freeze(leaf)
    until(lambda: freezer.frozen(leaf), "it did not freeze")
    assert not freezer.frozen(frozen_by)
    assert not moves(tmp_path / "one.0")
    until(lambda: moves(tmp_path / "two.0"), "its neighbour stands still too")


def test_a_leaf_of_a_frozen_group_is_killed_and_the_others_stay_frozen(
    frozen_by: Group, count: Count, tmp_path: Path
) -> None:
    one = count(frozen_by, "one.0")
    count(frozen_by, "two.0")
    freezer.freeze(frozen_by)
    until(lambda: freezer.frozen(frozen_by), "it did not freeze")
    tree.kill(tree.directories(frozen_by, "one.0"))
    assert one.wait(timeout=60) == -9
    assert not moves(tmp_path / "two.0")


def test_a_frozen_group_is_removed_with_what_is_in_it(frozen_by: Group, count: Count) -> None:
    one = count(frozen_by, "one.0")
    freezer.freeze(frozen_by)
    until(lambda: freezer.frozen(frozen_by), "it did not freeze")
    until(lambda: one.poll() is not None or tree.remove_tree(frozen_by), "it is still there")
    assert one.wait(timeout=60) == -9
    until(lambda: tree.remove_tree(frozen_by), "the group is still there")
    assert not any(os.path.exists(directory) for directory in frozen_by.values())


def test_the_version_2_tree_tells_when_a_group_has_frozen(group: Group) -> None:
    assert freezer.tells(group) == f"{group['unified']}/cgroup.events"


def test_a_group_that_nothing_can_freeze_says_so(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = {name: directory for name, directory in group.items() if name not in ("unified", "freezer")}
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(freezer.CannotFreeze, match=r"neither cgroup\.freeze nor a freezer"):
        freezer.freeze(rest)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(freezer.CannotFreeze, match="the version 1 freezer is Slurm's"):
        freezer.frozen(rest)


def test_a_group_that_is_gone_cannot_be_frozen(group: Group) -> None:
    leaf = tree.leaf_group(group, "never")
    with pytest.raises(freezer.CannotFreeze):
        freezer.freeze(leaf)
