"""Groups and limits on this host's real control groups."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from deadline import until
from starting import Start

from sandbox.cgroups import tree
from sandbox.spec import Limits

pytestmark = pytest.mark.root


def joined(group: Mapping[str, str], leaf: str, argv: list[str]) -> subprocess.Popen[bytes]:
    """A program in a leaf."""
    tree.make_leaf(group, leaf)

    def join() -> None:
        for file in tree.joins(group, leaf):
            Path(file).write_text("0")

    return subprocess.Popen(argv, preexec_fn=join, stdout=subprocess.PIPE)


def test_a_group_is_made_below_our_own_in_every_tree_that_each_needs(group: dict[str, str]) -> None:
    mine = tree.own()
    assert set(group) == {"cpu", "cpuacct", "memory", "pids", "unified"} & set(mine)
    for controller, directory in group.items():
        assert os.path.dirname(directory) == f"{mine[controller]}/thermos"
        assert os.path.isdir(directory)


def test_making_it_again_changes_nothing(group: dict[str, str]) -> None:
    (answer,) = tree.limit(group, Limits(pids=7))
    assert tree.make(os.path.basename(next(iter(group.values())))) == group
    assert tree.limit(group, Limits()) == []
    assert tree.read(f"{group.get('pids', group.get('unified'))}/pids.max") == "7"
    assert answer[:2] == ("pids", "7")


def test_limits_are_what_the_kernel_says_it_holds(group: dict[str, str]) -> None:
    answers = tree.limit(group, Limits(cpu=0.5, memory=64 << 20, pids=20))
    version = tree.version(group)
    assert answers == [
        ("cpu", "0.5 cores", f"0.5 cores (cgroup v{version})", ""),
        ("memory", "64 MiB", f"64 MiB (cgroup v{version})", ""),
        ("pids", "20", f"20 (cgroup v{version})", ""),
    ]


def test_a_limit_the_kernel_rounds_is_shown_as_it_is(group: dict[str, str]) -> None:
    (answer,) = tree.limit(group, Limits(memory=(64 << 20) + 1))
    assert answer[1:3] == ("64 MiB", f"64 MiB (cgroup v{tree.version(group)})")
    (answer,) = tree.limit(group, Limits(cpu=0.001))
    assert answer[1:3] == ("0.001 cores", f"0.01 cores (cgroup v{tree.version(group)})")


def test_a_limit_without_its_controller_is_not_had(group: dict[str, str]) -> None:
    if tree.version(group) == 2:
        pytest.skip("one tree has all of them")
    rest = {name: directory for name, directory in group.items() if name != "memory"}
    ((name, asked, got, why),) = tree.limit(rest, Limits(memory=1 << 20))
    assert (name, asked, got, why) == ("memory", "1 MiB", None, "this host has no memory controller for us")


def test_memory_over_the_limit_is_an_oom_kill_and_is_counted(group: dict[str, str], start: Start) -> None:
    tree.limit(group, Limits(memory=32 << 20))
    tree.make_leaf(group, "greedy.0")
    tree.make_leaf(group, "small.0")
    greedy = start(["/usr/bin/tail", "/dev/zero"], cgroups=tree.joins(group, "greedy.0"))
    small = start(["/bin/true"], cgroups=tree.joins(group, "small.0"))
    assert (greedy["status"], small["status"]) == (-9, 0)
    counters = "memory.events" if tree.version(group) == 2 else "memory.oom_control"
    directory = group["unified" if tree.version(group) == 2 else "memory"]
    assert "oom_kill 1" in tree.read(f"{directory}/greedy.0/{counters}").splitlines()
    assert "oom_kill 0" in tree.read(f"{directory}/small.0/{counters}").splitlines()


def test_one_process_too_many_is_refused(group: dict[str, str], start: Start) -> None:
    tree.limit(group, Limits(pids=1))
    tree.make_leaf(group, "forks.0")
    forks = ["/usr/bin/python3", "-c", "import os\ntry: os.fork()\nexcept OSError as e: print(e.errno)"]
    assert start(forks, cgroups=tree.joins(group, "forks.0"))["out"] == "11\n"


def test_a_killed_group_is_empty_and_can_be_removed(group: dict[str, str]) -> None:
    shell = joined(group, "many.0", ["/bin/sh", "-c", "sleep 1000 & setsid sleep 1000 & echo up; wait"])
    assert shell.stdout is not None
    assert shell.stdout.readline() == b"up\n"
    leaf = tree.directories(group, "many.0")
    assert not tree.remove(leaf)
    tree.kill(leaf)
    assert shell.wait() == -9
    until(lambda: tree.remove(leaf), "the killed group is not empty")
    assert [path for path in leaf if os.path.exists(path)] == []


def test_a_group_is_killed_where_there_is_no_kill_file(group: dict[str, str]) -> None:
    one = [directory for name, directory in group.items() if name != "unified"][:1]
    if not one:
        pytest.skip("one tree for all: it has the file")
    shell = joined(group, "many.0", ["/bin/sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait"])
    assert shell.stdout is not None
    shell.stdout.readline()
    tree.kill([f"{one[0]}/many.0"])
    assert shell.wait() == -9
    until(lambda: tree.remove(tree.directories(group, "many.0")), "the killed group is not empty")


def test_removing_a_tree_kills_what_it_holds(group: dict[str, str]) -> None:
    process = joined(group, "one.0", ["/bin/sleep", "1000"])
    until(lambda: tree.read(tree.directories(group, "one.0")[0] + "/cgroup.procs"), "nothing joined")
    until(lambda: process.poll() is not None or tree.remove_tree(group), "the tree is still there")
    assert process.wait() == -9
    until(lambda: tree.remove_tree(group), "the tree is still there")
    assert [path for path in group.values() if os.path.exists(path)] == []


def test_removing_what_is_gone_is_no_error(group: dict[str, str]) -> None:
    assert tree.remove_tree(group)
    assert tree.remove_tree(group)
    assert tree.remove(group.values())
    tree.kill(group.values())


def test_a_group_has_the_controllers_beyond_those_that_are_asked_for(tmp_path: Path) -> None:
    name = f"test-{os.getpid()}-{tmp_path.name}"
    group = tree.make(name, ["io", "cpuset", "devices"])
    try:
        assert tree.find(name) == group
        if tree.version(group) == 1:
            assert {"blkio", "cpuset", "devices"} <= set(group)
            assert "freezer" not in group
    finally:
        assert tree.remove_tree(group)
    assert tree.find(name) == {}


def test_the_freezer_of_version_1_is_slurms_in_a_job_of_its(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    mine = tree.own()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert tree.own() == {name: directory for name, directory in mine.items() if name != "freezer"}


def test_our_own_group_is_where_the_kernel_has_us() -> None:
    for directory in tree.own().values():
        assert str(os.getpid()) in Path(directory, "cgroup.procs").read_text().split()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a"])
def test_a_group_is_never_one_above_where_groups_are_made(name: str) -> None:
    """Removing it would kill whoever is there."""
    for ask in (tree.make, tree.find):
        with pytest.raises(ValueError, match="cannot name a group"):
            ask(name)
