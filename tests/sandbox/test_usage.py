from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.usage import ALL, Group, Pressure, Usage, of_trees, start_ticks


def files(directory: Path, **contents: str) -> str:
    directory.mkdir()
    for name, content in contents.items():
        (directory / name.replace("__", ".")).write_text(content)
    return str(directory)


def test_version_1_is_read_from_the_directories_of_its_controllers(tmp_path: Path) -> None:
    group = Group(
        {
            "cpuacct": files(tmp_path / "a", cpuacct__usage="2500000000\n"),
            "memory": files(
                tmp_path / "m",
                memory__usage_in_bytes="4096\n",
                memory__max_usage_in_bytes="8192\n",
                memory__limit_in_bytes="268435456\n",
            ),
            "pids": files(tmp_path / "p", pids__current="7\n"),
            "blkio": files(
                tmp_path / "b",
                blkio__throttle__io_service_bytes="8:0 Read 10\n8:0 Write 20\n8:16 Read 1\n8:16 Total 9\nTotal 31\n",
            ),
        }
    )
    assert group.sample() == Usage(2.5, 4096, 8192, 268435456, 7, 11, 20)
    group.close()


def test_version_2_is_read_from_its_one_directory(tmp_path: Path) -> None:
    unified = files(
        tmp_path / "u",
        cpu__stat="usage_usec 1500000\nuser_usec 1000000\n",
        memory__current="4096\n",
        memory__peak="8192\n",
        memory__max="max\n",
        pids__current="2\n",
        io__stat="8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=5 wbytes=0 rios=1\n",
    )
    group = Group({"unified": unified})
    assert group.sample() == Usage(1.5, 4096, 8192, None, 2, 15, 20)
    group.close()


def test_what_is_asked_for_is_sampled_and_a_file_is_opened_once(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    unified = files(
        tmp_path / "u",
        cpu__stat="usage_usec 1500000\nnr_periods 9\nnr_throttled 3\nthrottled_usec 250000\n",
        memory__events="low 0\noom 2\noom_kill 1\noom_group_kill 0\n",
        memory__swap__current="4096\n",
        pids__peak="5\n",
        pids__events="max 4\n",
        io__pressure="some avg10=1.50 avg300=0.00 total=77\nfull avg10=0.50 avg300=0.00 total=7\n",
    )
    group = Group({"unified": unified}, ALL)
    assert len(os.listdir("/proc/self/fd")) == before + 6
    assert group.sample() == Usage(
        cpu=1.5,
        swap=4096,
        oom_kills=1,
        pids_peak=5,
        pids_refused=4,
        periods=9,
        throttled_periods=3,
        throttled=0.25,
        io_pressure=Pressure(1.5, 77, 0.5, 7),
    )
    group.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_of_a_disks_bytes_those_of_the_groups_below_are_counted_too(tmp_path: Path) -> None:
    """Version 1 has two files, and the processes are in the groups below."""
    own = "8:0 Read 0\n8:0 Write 0\n"
    with_those_below = "8:0 Read 5\n8:0 Write 6\n"
    blkio = files(
        tmp_path / "b",
        blkio__throttle__io_service_bytes=own,
        blkio__throttle__io_service_bytes_recursive=with_those_below,
    )
    group = Group({"blkio": blkio})
    assert group.sample() == Usage(read=5, written=6)
    group.close()


def test_where_cpuacct_is_missing_the_unified_hierarchy_counts_processor_time(tmp_path: Path) -> None:
    group = Group(
        {
            "cpuacct": str(tmp_path / "none"),
            "unified": files(tmp_path / "u", cpu__stat="usage_usec 1500000\n"),
            "memory": files(
                tmp_path / "m", memory__usage_in_bytes="4096", memory__limit_in_bytes="9223372036854771712"
            ),
        }
    )
    assert group.sample() == Usage(cpu=1.5, memory=4096)
    group.close()


def test_a_group_that_never_was_has_no_usage_and_nothing_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    assert Group({"memory": str(tmp_path / "none"), "unified": str(tmp_path / "none")}).sample() is None
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_holds_something_else_is_left_out(tmp_path: Path) -> None:
    group = Group(
        {"pids": files(tmp_path / "p", pids__current="what?"), "unified": files(tmp_path / "u", cpu__stat="")}
    )
    assert group.sample() == Usage()
    group.close()


def test_what_is_written_anew_is_seen_by_the_next_sample(tmp_path: Path) -> None:
    group = Group({"pids": files(tmp_path / "p", pids__current="1\n")})
    (tmp_path / "p" / "pids.current").write_text("2\n")
    assert group.sample() == Usage(pids=2)
    group.close()


@pytest.fixture
def real_groups() -> Iterator[dict[str, str]]:
    """A fresh group under every hierarchy of version 1 that can be written, or under version 2's."""
    name = f"thermos-test-usage-{os.getpid()}"
    roots = {kind: f"/sys/fs/cgroup/{kind}" for kind in ("cpu", "cpuacct", "memory", "pids", "blkio", "unified")}
    if os.path.exists("/sys/fs/cgroup/cgroup.procs"):
        roots = {"unified": "/sys/fs/cgroup"}
    groups = {kind: f"{root}/{name}" for kind, root in roots.items() if os.path.isdir(root)}
    for group in groups.values():
        os.mkdir(group)
    yield groups
    for group in groups.values():
        if os.path.isdir(group):
            os.rmdir(group)


_BUSY = """
input()
held = bytearray(20 << 20)
for _ in range(3_000_000):
    pass
print(flush=True)
input()
"""


@pytest.mark.root
def test_the_kernels_own_files_are_read_and_a_removed_group_is_none(real_groups: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdin=pipe, stdout=pipe, text=True, bufsize=1) as child:
        assert child.stdin
        assert child.stdout
        for directory in real_groups.values():
            Path(directory, "cgroup.procs").write_text(str(child.pid))
        child.stdin.write("\n")
        child.stdout.readline()
        group = Group(real_groups)
        usage = group.sample()
        child.stdin.write("\n")
    assert usage is not None
    assert usage.cpu is not None
    assert 0.01 < usage.cpu < 60
    if "memory" in real_groups:
        assert usage.memory is not None
        assert usage.memory >= 20 << 20
        assert usage.memory_limit is None
        assert usage.pids == 1
    for directory in real_groups.values():
        os.rmdir(directory)
    assert group.sample() is None
    group.close()


@pytest.mark.root
def test_the_kernel_counts_everything_that_can_be_sampled(real_groups: dict[str, str]) -> None:
    group = Group(real_groups, ALL)
    sample = group.sample()
    assert sample is not None
    unknown = {name for name in ALL if getattr(sample, name) is None}
    # This test's group has no limit, and a kernel may be built or started without counting what is waited for.
    assert unknown <= {"memory_limit", "cpu_pressure", "memory_pressure", "io_pressure"} | (
        set() if "memory" in real_groups else set(ALL)
    )
    if os.path.exists(f"{real_groups['unified']}/memory.pressure"):
        assert isinstance(sample.memory_pressure, Pressure)
    group.close()


def test_one_walk_finds_every_tree_and_counts_no_process_twice() -> None:
    script = "sleep 1000 & sleep 1000 & echo ready; wait"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as tree:
        assert tree.stdout
        tree.stdout.readline()
        found = of_trees({os.getpid(): None, tree.pid: start_ticks(tree.pid), 2**22 + 1: None})
        os.killpg(tree.pid, 9)
    assert found[tree.pid].pids == 3
    assert set(found) == {os.getpid(), tree.pid}
    ours = found[os.getpid()].memory
    assert ours is not None
    assert ours > 1 << 20


def test_a_pid_with_another_start_time_is_somebody_else() -> None:
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    assert of_trees({os.getpid(): ticks + 1}) == {}


def test_no_process_has_no_start_time() -> None:
    assert start_ticks(2**22 + 1) is None
