"""Limits on this host's real groups: set, changed while processes live in them, refused, and felt by a process."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.cgroups import files, tree
from sandbox.cgroups.controllers import needed
from sandbox.spec import Limits

pytestmark = pytest.mark.root

MIB = 1 << 20

Group = dict[str, str]
Make = Callable[[Limits], Group]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A group that has what the limits need, without the limits."""
    made: list[Group] = []

    def make(limits: Limits) -> Group:
        made.append(tree.make(f"test-{os.getpid()}-{tmp_path.name}-{len(made)}", needed(limits)))
        return made[-1]

    yield make
    for group in made:
        until(lambda group=group: tree.remove_tree(group), f"{group} is still there")


@pytest.fixture
def group(make: Make) -> Group:
    group = make(Limits(io=(), cpus="", devices=()))
    if tree.version(group) == 2:
        pytest.skip("version 2 is tested in the virtual machine")
    return group


def got(group: Group, limits: Limits) -> dict[str, str | None]:
    return {field: had for field, _, had, _ in tree.limit(group, limits)}


def why(group: Group, limits: Limits) -> str:
    """Why the one limit that is asked for is not had."""
    ((_, _, had, why),) = tree.limit(group, limits)
    assert had is None
    return why


def within(group: Group, code: str, leaf: str = "run.0") -> subprocess.Popen[str]:
    """A Python program in a leaf; it says "there" when it has joined it, and then waits for a line before `code`."""
    tree.make_leaf(group, leaf)
    joins = tree.joins(group, leaf)
    program = f"for file in {joins!r}: open(file, 'w').write('0')\nprint('there', flush=True)\ninput()\n{code}"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "there\n"
    return process


def said(process: subprocess.Popen[str]) -> str:
    return process.communicate("\n", timeout=60)[0]


def tried(code: str) -> str:
    """A program that prints the errno of what it tries, or 0."""
    return f"import os\ntry:\n    {code}\n    print(0)\nexcept OSError as error:\n    print(error.errno)"


# -- what the kernel then holds, read by other eyes than those that wrote


def test_processor_time_is_held_as_quota_burst_and_shares(group: Group) -> None:
    assert got(group, Limits(cpu=0.5, cpu_burst=0.25, cpu_weight=300)) == {
        "cpu": "0.5 cores (cgroup v1)",
        "cpu_burst": "0.25 cores (cgroup v1)",
        "cpu_weight": "300 (cgroup v1)",
    }
    cpu = files.CpuV1(group["cpu"])
    assert (cpu.quota, cpu.period, cpu.burst, cpu.shares) == (50_000, 100_000, 25_000, 3072)


def test_swap_is_held_as_the_sum_with_memory(group: Group) -> None:
    assert got(group, Limits(memory=64 * MIB, swap=MIB)) == {
        "memory": "64 MiB (cgroup v1)",
        "swap": "1 MiB (cgroup v1)",
    }
    memory = files.MemoryV1(group["memory"])
    assert (memory.limit, memory.memory_and_swap) == (64 * MIB, 65 * MIB)


def test_what_the_group_is_left_with_when_others_need_memory_is_its_soft_limit(group: Group) -> None:
    assert got(group, Limits(memory_low=8 * MIB)) == {"memory_low": "8 MiB (cgroup v1)"}
    assert files.MemoryV1(group["memory"]).soft_limit == 8 * MIB


def test_a_disk_is_found_by_a_path_on_it_and_each_of_its_limits_is_held(group: Group, tmp_path: Path) -> None:
    numbers = os.stat("/").st_dev
    if not os.major(numbers):
        pytest.skip("the root file system has no device of its own")
    (answer,) = tree.limit(group, Limits(io=[("/", MIB, 2 * MIB, 100, None)]))
    said = "/: reads 1 MiB/s, writes 2 MiB/s, 100 reads/s"
    assert answer == ("io", said, f"{said} (cgroup v1)", "")
    blkio = files.BlkioV1(group["blkio"])
    assert [[each.limit for each in file] for file in (blkio.read_bytes, blkio.written_bytes, blkio.reads)] == [
        [MIB],
        [2 * MIB],
        [100],
    ]
    tree.limit(group, Limits(io=[("/", None, None, None, None)]))
    assert [blkio.read_bytes, blkio.written_bytes, blkio.reads, blkio.writes] == [[], [], [], []]


def test_an_empty_list_lifts_the_limits_of_every_disk(group: Group) -> None:
    if not os.major(os.stat("/").st_dev):
        pytest.skip("the root file system has no device of its own")
    tree.limit(group, Limits(io=[("/", MIB, None, None, 10)]))
    assert tree.limit(group, Limits(io=())) == [("io", "no limit", "no limit (cgroup v1)", "")]
    blkio = files.BlkioV1(group["blkio"])
    assert [blkio.read_bytes, blkio.written_bytes, blkio.reads, blkio.writes] == [[], [], [], []]


def test_more_operations_than_the_kernel_counts_are_no_limit_and_not_none_at_all(group: Group) -> None:
    """It keeps 32 bits of the number: of 1 << 32 nothing would be left, and every read would wait for ever."""
    if not os.major(os.stat("/").st_dev):
        pytest.skip("the root file system has no device of its own")
    assert got(group, Limits(io=[("/", None, None, 1 << 32, None)])) == {"io": "/: no limit (cgroup v1)"}


def test_processors_and_memory_nodes_are_held(group: Group) -> None:
    assert got(group, Limits(cpus="0", mems="0")) == {"cpus": "0 (cgroup v1)", "mems": "0 (cgroup v1)"}
    assert files.CpusetV1(group["cpuset"]).cpus == {0}


def test_a_host_whose_disks_have_no_scheduler_with_weights_says_so(group: Group) -> None:
    used = Path("/sys/block").glob("*/queue/scheduler")
    if any("[bfq]" in path.read_text() for path in used):
        assert got(group, Limits(io_weight=100)) == {
            "io_weight": "100 of 1000 on disks with the bfq scheduler (cgroup v1)"
        }
    else:
        assert why(group, Limits(io_weight=100)).startswith("no disk of this host has the scheduler that knows weights")


def test_every_file_that_limits_can_be_looked_at(group: Group) -> None:
    tree.limit(group, Limits(pids=7, cpus="0"))
    held = {(name, attribute): value for name, attribute, value in files.held(group)}
    assert held["pids", "limit"] == 7
    assert held["memory", "limit"] is None
    assert held["cpuset", "cpus"] == {0}
    assert {name for name, _ in held} >= {"cpu", "memory", "pids", "io", "cpuset", "devices", "cpuacct"}


def test_files_are_set_as_attributes(group: Group) -> None:
    pids, memory, cpuset = files.Pids(group["pids"]), files.MemoryV1(group["memory"]), files.CpusetV1(group["cpuset"])
    pids.limit, memory.limit, cpuset.cpus = 5, 4 * MIB, {0}
    assert (pids.limit, memory.limit, cpuset.cpus) == (5, 4 * MIB, {0})
    pids.limit, memory.limit = None, None
    assert (pids.limit, memory.limit) == (None, None)
    with pytest.raises(RuntimeError, match="readonly"):
        pids.current = 3


# -- changes of a group that lives

LIMIT = st.none() | st.integers(1, 64).map(lambda mib: mib * MIB) | st.just(-1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(LIMIT, LIMIT | st.just(0)), min_size=1, max_size=6))
def test_memory_and_swap_are_raised_and_lowered_in_any_order(
    group: Group, steps: list[tuple[int | None, int | None]]
) -> None:
    """The kernel takes no sum that is less than the memory, at no moment in between."""
    tree.limit(group, Limits(memory=-1, swap=-1))
    memory = swap = None
    for wish, extra in steps:
        answers = tree.limit(group, Limits(memory=wish, swap=extra))
        refused = [why for _, _, had, why in answers if had is None]
        new_memory = memory if wish is None else None if wish < 0 else wish
        new_swap = swap if extra is None else None if extra < 0 else extra
        if new_memory is None and extra is not None and extra >= 0:
            assert set(refused) == {"version 1 of cgroups limits swap only together with memory, which has no limit"}
        else:
            assert refused == []
            memory = new_memory
            swap = new_swap if memory is not None else None
        held = files.MemoryV1(group["memory"])
        assert (held.limit, held.memory_and_swap) == (memory, None if memory is None or swap is None else memory + swap)


def test_memory_is_not_lowered_below_what_the_group_holds_and_the_answer_says_why(group: Group) -> None:
    tree.limit(group, Limits(memory=64 * MIB, swap=0))
    process = within(group, "")
    process_holds = within(group, "held = bytearray(40 << 20)\nprint('held', flush=True)\ninput()", "holds.0")
    assert process_holds.stdin
    assert process_holds.stdout
    process_holds.stdin.write("\n")
    process_holds.stdin.flush()
    assert process_holds.stdout.readline() == "held\n"
    reason = why(group, Limits(memory=16 * MIB))
    assert reason.endswith("the group holds more than that now, and the kernel cannot reclaim it")
    memory = files.MemoryV1(group["memory"])
    assert (memory.limit, memory.memory_and_swap) == (64 * MIB, 64 * MIB)
    assert got(group, Limits(memory=60 * MIB)) == {"memory": "60 MiB (cgroup v1)"}
    assert memory.memory_and_swap == 60 * MIB
    assert said(process) == said(process_holds) == ""
    assert process_holds.returncode == 0


def settings_of(leaf: Group) -> list[tuple[str, str, Any]]:
    return [each for each in files.held({"cpu": leaf["cpu"]}) if each[1] != "stat"]  # which counts


def test_a_change_that_fails_half_way_leaves_what_was(group: Group) -> None:
    """Of four writes all are taken but the last: the burst is more than the quota."""
    tree.limit(group, Limits(cpu=0.5, cpu_burst=0.3))
    tree.make_leaf(group, "run.0")
    leaf = tree.leaf_group(group, "run.0")
    assert got(leaf, Limits(cpu=0.25, cpu_burst=0.125))["cpu"] == "0.25 cores (cgroup v1)"
    before = settings_of(leaf)
    answers = tree.limit(leaf, Limits(cpu=0.2, cpu_burst=1))
    assert [had for _, _, had, _ in answers] == [None, None]
    assert all("its burst is larger" in why for *_, why in answers)
    assert settings_of(leaf) == before


def test_a_limit_that_is_refused_does_not_keep_others_from_being_set(group: Group) -> None:
    assert got(group, Limits(memory_high=MIB, memory=8 * MIB, pids=3)) == {
        "memory": "8 MiB (cgroup v1)",
        "memory_high": None,
        "pids": "3 (cgroup v1)",
    }


def test_a_burst_without_a_limit_to_go_beyond_is_refused(group: Group) -> None:
    assert why(group, Limits(cpu_burst=0.5)) == "a burst goes beyond a limit of processor time, and there is none"
    assert got(group, Limits(cpu=1, cpu_burst=0.5))["cpu_burst"] == "0.5 cores (cgroup v1)"
    assert got(group, Limits(cpu_burst=0)) == {"cpu_burst": "0 cores (cgroup v1)"}
    assert got(group, Limits(cpu=-1)) == {"cpu": "no limit (cgroup v1)"}


def test_a_leaf_gets_no_more_processor_time_than_its_group_has_and_shows_that(group: Group) -> None:
    """The kernel itself refuses it in version 1. A run whose task was given less since could never start."""
    tree.limit(group, Limits(cpu=0.5))
    tree.make_leaf(group, "run.0")
    leaf = tree.leaf_group(group, "run.0")
    assert got(leaf, Limits(cpu=2, cpu_burst=1)) == {
        "cpu": "0.5 cores (cgroup v1)",
        "cpu_burst": "0.5 cores (cgroup v1)",
    }
    assert got(leaf, Limits(cpu=0.25)) == {"cpu": None}  # its burst is more than that
    assert got(leaf, Limits(cpu=0.25, cpu_burst=0)) == {
        "cpu": "0.25 cores (cgroup v1)",
        "cpu_burst": "0 cores (cgroup v1)",
    }


def test_processor_time_is_taken_from_the_leaves_too(group: Group) -> None:
    tree.limit(group, Limits(cpu=2))
    leaves: list[files.CpuV1] = []
    for name, limits in (("more.0", Limits(cpu=1.5, cpu_burst=1)), ("less.0", Limits(cpu=0.1)), ("none.0", Limits())):
        tree.make_leaf(group, name)
        leaf = tree.leaf_group(group, name)
        tree.limit(leaf, limits)
        leaves.append(files.CpuV1(leaf["cpu"]))
    assert got(group, Limits(cpu=0.5)) == {"cpu": "0.5 cores (cgroup v1)"}
    assert [(leaf.quota, leaf.burst) for leaf in leaves] == [(50_000, 50_000), (10_000, 0), (None, 0)]
    tree.limit(group, Limits(cpu=-1))
    assert [leaf.quota for leaf in leaves] == [50_000, 10_000, None]


def test_leaves_keep_what_they_have_where_their_group_cannot_have_less(group: Group) -> None:
    tree.limit(group, Limits(cpu=2, cpu_burst=1))
    tree.make_leaf(group, "run.0")
    leaf = tree.leaf_group(group, "run.0")
    tree.limit(leaf, Limits(cpu=1.5, cpu_burst=1))
    assert got(group, Limits(cpu=0.5)) == {"cpu": None}  # its own burst is more than that
    assert (files.CpuV1(leaf["cpu"]).quota, files.CpuV1(leaf["cpu"]).burst) == (150_000, 100_000)


def test_a_leaf_gets_those_of_its_processors_that_its_group_has(group: Group) -> None:
    every = files.CpusetV1(tree.own()["cpuset"]).cpus
    if len(every) < 2:
        pytest.skip("there is one processor only")
    first, second = map(str, sorted(every)[:2])
    tree.limit(group, Limits(cpus=first))
    tree.make_leaf(group, "run.0")
    leaf = tree.leaf_group(group, "run.0")
    assert got(leaf, Limits(cpus=f"{first},{second}")) == {"cpus": f"{first} (cgroup v1)"}
    assert "the group above does not have all of them" in why(leaf, Limits(cpus=second))
    assert "this host does not have all of them" in why(leaf, Limits(cpus=f"{first},4000"))


def test_processors_are_taken_from_the_leaves_too_and_given_back(group: Group) -> None:
    every = files.CpusetV1(tree.own()["cpuset"]).cpus
    if len(every) < 2:
        pytest.skip("there is one processor only")
    first, second = sorted(every)[:2]
    process = within(group, "")
    tree.make_leaf(group, "own.0")
    own = tree.leaf_group(group, "own.0")
    tree.limit(own, Limits(cpus=str(second)))
    allowed = lambda: os.sched_getaffinity(process.pid)  # noqa: E731
    assert allowed() == every
    assert got(group, Limits(cpus=str(first))) == {"cpus": f"{first} (cgroup v1)"}
    assert allowed() == {first}
    assert files.CpusetV1(own["cpuset"]).cpus == {first}
    tree.limit(group, Limits(cpus=""))
    assert allowed() == every
    process.kill()
    process.communicate()


def test_processors_that_there_are_not_are_refused_and_nothing_changes(group: Group) -> None:
    before = files.CpusetV1(group["cpuset"]).cpus
    assert "this host does not have all of them" in why(group, Limits(cpus="0,4000"))
    assert "is not a list such as 0-1,3" in why(group, Limits(cpus="first"))
    assert files.CpusetV1(group["cpuset"]).cpus == before


# -- what a process feels


def test_a_device_is_refused_unless_it_is_harmless_or_asked_for(group: Group) -> None:
    kmsg = tried("os.open('/dev/kmsg', os.O_RDONLY)")
    assert said(within(group, kmsg, "before.0")) == "0\n"
    until(lambda: tree.remove(tree.directories(group, "before.0")), "the leaf is not empty")
    # The kernel counts a removed group among those below for a moment.
    harmless = {"devices": "null zero full random urandom tty ptmx pts (cgroup v1)"}
    until(lambda: got(group, Limits(devices=())) == harmless, "the removed leaf is in the way")
    process = within(group, kmsg)
    assert said(within(group, kmsg, "other.0")) == f"{errno.EPERM}\n"
    assert said(within(group, tried("os.open('/dev/null', os.O_RDWR)"), "other.0")) == "0\n"
    answer = got(group, Limits(devices=("/dev/kmsg r",)))
    assert answer == {"devices": "null zero full random urandom tty ptmx pts, c 1:11 r (cgroup v1)"}
    assert said(process) == "0\n"  # a leaf that lived already
    assert said(within(group, tried("os.open('/dev/kmsg', os.O_WRONLY)"), "other.0")) == f"{errno.EPERM}\n"
    tree.limit(group, Limits(devices=()))
    assert said(within(group, kmsg, "other.0")) == f"{errno.EPERM}\n"


def test_devices_are_not_limited_when_there_are_leaves_that_may_use_all(group: Group) -> None:
    tree.make_leaf(group, "run.0")
    assert "there are groups below it already" in why(group, Limits(devices=()))
    assert files.DevicesV1(group["devices"]).allowed[0].dev_type == "a"


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("/dev/there-is-none", "cannot look at /dev/there-is-none"),
        ("/etc/passwd", "/etc/passwd is no device"),
        ("x 1:1 r", "is neither"),
        ("c one:1", "is neither"),
        ("/dev/null x", "is neither"),
    ],
)
def test_what_is_no_device_is_refused(group: Group, device: str, reason: str) -> None:
    assert reason in why(group, Limits(devices=(device,)))


def test_in_the_version_2_tree_a_program_of_the_kernels_decides_over_devices(make: Make) -> None:
    """Which works also beside version 1: it takes no controller."""
    group = {"unified": make(Limits())["unified"]}
    kmsg = tried("os.open('/dev/kmsg', os.O_RDONLY)")
    assert said(within(group, kmsg)) == "0\n"
    assert got(group, Limits(devices=())) == {"devices": "null zero full random urandom tty ptmx pts (cgroup v2)"}
    assert said(within(group, kmsg)) == f"{errno.EPERM}\n"
    for device in ("null", "zero", "full", "random", "urandom", "ptmx"):
        assert said(within(group, tried(f"os.open('/dev/{device}', os.O_RDONLY)"))) == "0\n"
    made = tried("os.mknod('/tmp/made-by-a-test', 0o20600, os.makedev(1, 11)); os.unlink('/tmp/made-by-a-test')")
    assert said(within(group, made)) == f"{errno.EPERM}\n"
    tree.limit(group, Limits(devices=("c 1:* rm",)))  # in place of the first program, not beside it
    assert said(within(group, kmsg)) == said(within(group, made)) == "0\n"
    assert said(within(group, tried("os.open('/dev/kmsg', os.O_WRONLY)"))) == f"{errno.EPERM}\n"


def test_a_plain_user_is_told_that_a_program_for_devices_takes_root(make: Make) -> None:
    unified = make(Limits())["unified"]
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from sandbox.cgroups import device_program, tree; "
        "from sandbox.spec import Limits; os.setuid(65534); "
        "print(tree.limit({'unified': sys.argv[2]}, Limits(devices=()))[0][3])"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code, root, unified], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert "version 2 of cgroups does it by a BPF program, which takes root" in done.stdout


def test_reads_from_a_disk_are_slowed_down_to_the_limit(group: Group, tmp_path: Path) -> None:
    """1 MiB at 1 MiB a second, past the page cache: a whole second, where it takes a moment without."""
    file = tmp_path / "data"
    file.write_bytes(os.urandom(MIB))
    os.sync()
    read = (
        "import mmap, os, time\n"
        f"try: fd = os.open({str(file)!r}, os.O_RDONLY | os.O_DIRECT)\n"
        "except OSError: print('no direct reads'); raise SystemExit\n"
        "began = time.monotonic()\n"
        "for _ in range(16): os.readv(fd, [mmap.mmap(-1, 65536)])\n"
        "print(time.monotonic() - began)"
    )
    answers = tree.limit(group, Limits(io=[(str(file), MIB, None, None, None)]))
    if answers[0][2] is None:
        pytest.skip(answers[0][3])
    seconds = said(within(group, read))
    if "no direct" in seconds:
        pytest.skip("this file system has no direct reads")
    assert float(seconds) > 0.7
    tree.limit(group, Limits(io=[(str(file), None, None, None, None)]))
    runs = itertools.count()
    until(lambda: float(said(within(group, read, f"free.{next(runs)}"))) < 0.5, "it is still slow")


def test_a_limit_of_a_disk_is_that_of_all_the_leaves_together(group: Group) -> None:
    """In version 1 the kernel would give it to each of them: there are no leaves in that tree."""
    tree.make_leaf(group, "run.0")
    leaf = tree.leaf_group(group, "run.0")
    assert "blkio" not in leaf
    assert not os.path.exists(f"{group['blkio']}/run.0")
    assert "none for a leaf" in why(leaf, Limits(io=[("/", MIB, None, None, None)]))
    process = within(group, "")
    assert str(process.pid) in Path(group["blkio"], "cgroup.procs").read_text().split()
    assert said(process) == ""


def test_a_group_with_less_weight_gets_less_of_a_processor(group: Group, make: Make) -> None:
    light = make(Limits(cpus=""))
    busy = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass"
    for each, weight in ((group, 800), (light, 100)):
        tree.limit(each, Limits(cpu_weight=weight, cpus="0", mems="0"))
    heavy, other = within(group, busy), within(light, "while True: pass")
    for process in (other, heavy):
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    heavy.wait(timeout=60)
    spent = [files.CpuacctV1(each["cpuacct"]).usage for each in (group, light)]
    other.kill()
    heavy.communicate()
    other.communicate()
    assert spent[0] > 3 * spent[1]


# -- groups that are not there


def test_of_a_group_that_is_not_there_nothing_is_had_and_everything_said() -> None:
    limits = Limits(cpu=1, memory=MIB, swap=0, pids=5, cpus="0", devices=(), io_weight=3)
    answers = tree.limit({}, limits)
    assert {field for field, *_ in answers} == set(limits.asked())
    assert {had for _, _, had, _ in answers} == {None}
    assert ("swap", "0 B", None, "this host has no memory controller for us") in answers


def test_a_limit_of_a_group_that_was_removed_is_not_had(make: Make) -> None:
    group = make(Limits())
    tree.remove_tree(group)
    for _, _, had, why in tree.limit(group, Limits(cpu=1, memory=MIB, pids=5)):
        assert had is None
        assert "No such file or directory" in why


def test_a_group_without_a_controller_says_that_it_was_made_without(make: Make) -> None:
    group = make(Limits())
    if tree.version(group) == 2:
        pytest.skip("version 2 is given it later too")
    assert why(group, Limits(cpus="0")) == "this host has no cpuset controller for us, or the group was made without it"
