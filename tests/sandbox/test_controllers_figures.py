"""What the kernel counted of a run, and how its keeper learns of a lack of memory."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from deadline import DEADLINE
from starting import Start

from sandbox.cgroups import figures, tree
from sandbox.spec import Limits

pytestmark = pytest.mark.root


def test_figures_of_a_leaf_are_its_own_and_count_what_it_did(group: dict[str, str], start: Start) -> None:
    tree.limit(group, Limits(memory=32 << 20))
    for leaf, argv in {"greedy.0": ["/usr/bin/tail", "/dev/zero"], "small.0": ["/bin/true"]}.items():
        tree.make_leaf(group, leaf)
        start(argv, cgroups=tree.joins(group, leaf))
    oom, cpu, memory = figures.figures(group, "greedy.0")
    assert oom == 1
    assert memory > 24 << 20
    small = figures.figures(group, "small.0")
    assert small[0] == 0
    assert 0 < small[1] < cpu < 60 * 10**9
    assert 0 < small[2] < memory
    assert figures.figures(group)[1] >= cpu + small[1]


def test_figures_of_what_is_not_there_are_not_known(group: dict[str, str]) -> None:
    assert figures.figures(group, "never.0") == (0, -1, -1)
    assert figures.figures({}, "never.0") == (0, -1, -1)


def test_without_a_controller_of_its_own_the_version_2_tree_still_counts_processor_time(group: dict[str, str]) -> None:
    tree.make_leaf(group, "run.0")
    unified = {"unified": group["unified"]}
    _, cpu, _ = figures.figures(unified, "run.0")
    assert cpu == 0


def test_a_lack_of_memory_wakes_who_waits_for_it(group: dict[str, str], start: Start) -> None:
    tree.limit(group, Limits(memory=16 << 20, swap=0))
    tree.make_leaf(group, "greedy.0")
    leaf = tree.leaf_group(group, "greedy.0")
    fd, urgent = figures.watch_oom(leaf)
    poll = select.poll()
    poll.register(fd, select.POLLPRI if urgent else select.POLLIN)
    assert poll.poll(0) == []
    assert start(["/usr/bin/tail", "/dev/zero"], cgroups=tree.joins(group, "greedy.0"))["status"] == -9
    assert poll.poll(DEADLINE * 1000) != []
    assert figures.figures(leaf)[0] == 1
    os.close(fd)


def test_nobody_waits_for_a_lack_of_memory_where_nothing_counts_it(group: dict[str, str]) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for nowhere in ({}, {"memory": "/sys/fs/cgroup/there-is-none"}, {"unified": "/sys/fs/cgroup/there-is-none"}):
        with pytest.raises(OSError, match=r"No such file|no memory controller"):
            figures.watch_oom(nowhere)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_version_1_leaves_it_to_the_keeper_to_kill_the_rest_of_a_group(group: dict[str, str]) -> None:
    (answer,) = tree.limit(group, Limits(oom="group"))
    if tree.version(group) == 1:
        assert not figures.kills_whole_groups(group)
        assert answer == ("oom", "the whole group", "the whole group, by its keeper (cgroup v1)", "")
    assert figures.kills_whole_groups({"unified": group["unified"]})
    (answer,) = tree.limit({name: group[name] for name in group if name != "unified"}, Limits(oom="process"))
    assert answer[1:3] == ("one process", "one process (cgroup v1)")


# -- as a plain user, in groups that were given to that user

DELEGATED = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from sandbox.cgroups import figures, freezer, limits, tree
from sandbox.cgroups.controllers import CONTROLLERS
from sandbox.spec import Limits
for each in CONTROLLERS.values():
    each.row()
for directory in sys.argv[2:]:
    with open(f"{directory}/cgroup.procs", "w") as file:
        file.write("0")
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
group = tree.make("plain", ["cpuset"])
told = {"own": tree.own(), "group": group}
told["answers"] = tree.limit(group, Limits(cpu=0.5, memory=64 << 20, pids=9, cpu_weight=50, swap=0, cpus="0"))
tree.make_leaf(group, "run.0")
pid = os.fork()
if not pid:
    for file in tree.joins(group, "run.0"):
        with open(file, "w") as joined:
            joined.write("0")
    os.execv("/bin/sleep", ["sleep", "1000"])
while open(f"/proc/{pid}/comm").read() != "sleep\\n":
    pass
told["joined"] = open(f"/proc/{pid}/cgroup").read()
freezer.freeze(group)
while not freezer.frozen(group):
    pass
tree.kill(tree.directories(group, "run.0"))
told["status"] = os.waitpid(pid, 0)[1]
told["cpu"] = figures.figures(group, "run.0")[1]
while not tree.remove_tree(group):
    pass
print(json.dumps(told))
"""


def delegate(mine: Mapping[str, str], name: str) -> dict[str, str]:
    """A group in every tree, given to a plain user as the kernel's documentation says."""
    given: dict[str, str] = {}
    for controller, directory in mine.items():
        path = Path(directory, name)
        path.mkdir()
        given[controller] = str(path)
        if controller == "cpuset":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (path / file).write_text(Path(directory, file).read_text())
        for each in (path, *(path / file for file in ("cgroup.procs", "tasks", "cgroup.subtree_control"))):
            if each.exists():
                os.chown(each, 65534, 65534)
    return given


def test_a_plain_user_limits_and_kills_in_groups_that_were_given_to_it(tmp_path: Path) -> None:
    mine = {name: path for name, path in tree.own().items() if name not in ("devices", "freezer", "blkio")}
    if tree.version(mine) == 2:
        pytest.skip("version 2 is tested in the virtual machine")
    given = delegate(mine, f"test-{os.getpid()}-{tmp_path.name}")
    try:
        command = [sys.executable, "-c", DELEGATED, str(Path(__file__).parents[2]), *given.values()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        left = [path for directory in given.values() for path in Path(directory).glob("thermos*")]
    finally:
        for directory in given.values():
            os.rmdir(directory)
    told = json.loads(done.stdout)
    assert {name: path for name, path in told["own"].items() if name in given} == given
    assert told["group"] == {name: f"{directory}/thermos/plain" for name, directory in given.items()}
    assert {field: got for field, _, got, _ in told["answers"]} == {
        "cpu": "0.5 cores (cgroup v1)",
        "cpu_weight": "50 (cgroup v1)",
        "memory": "64 MiB (cgroup v1)",
        "swap": "0 B (cgroup v1)",
        "pids": "9 (cgroup v1)",
        "cpus": "0 (cgroup v1)",
    }
    assert told["joined"].count("/thermos/plain/run.0") == len(given)
    assert told["status"] == 9
    assert told["cpu"] > 0
    assert left == []
