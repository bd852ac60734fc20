"""Groups and limits on a host that has cgroup v2 and nothing else: a virtual machine, booted once for all of these.

What is done in it is in in_vm_groups.py, one function for each story; here it is judged what came of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from in_the_vm import Told, tell

pytestmark = pytest.mark.root

STORIES = Path(__file__).with_name("in_vm_groups.py")
MIB = 1 << 20


@pytest.fixture(scope="module")
def told() -> Told:
    """What came of a story, by its name."""
    return tell(STORIES)


# -- limits


def test_every_limit_is_what_the_kernel_says_it_holds(told: Told) -> None:
    facts = told("limits")
    assert facts["version"] == 2
    assert {name: got for name, got in facts["answers"].items() if "(cgroup v2)" in got} == {
        "cpu": "0.5 cores (cgroup v2)",
        "cpu_burst": "0.2 cores (cgroup v2)",
        "cpu_weight": "300 (cgroup v2)",
        "memory": "64 MiB (cgroup v2)",
        "swap": "2 MiB (cgroup v2)",
        "memory_high": "48 MiB (cgroup v2)",
        "memory_low": "1 MiB (cgroup v2)",
        "oom": "the whole group (cgroup v2)",
        "pids": "20 (cgroup v2)",
        "devices": "null zero full random urandom tty ptmx pts (cgroup v2)",
    }
    held = {
        "cpu.quota": [50_000, 100_000],
        "cpu.burst": 20_000,
        "cpu.weight": 300,
        "memory.limit": 64 * MIB,
        "memory.swap_limit": 2 * MIB,
        "memory.high": 48 * MIB,
        "memory.low": MIB,
        "memory.oom_group": True,
        "pids.limit": 20,
    }
    assert {name: facts["held"][name] for name in held} == held


def test_what_this_kernel_does_not_have_is_refused_with_the_reason(told: Told) -> None:
    answers = told("limits")["answers"]
    assert answers["cpus"] == "/sys/fs/cgroup has no cpuset controller"
    assert "bfq" in answers["io_weight"]


def test_limits_can_be_taken_away_again(told: Told) -> None:
    facts = told("limits")
    assert facts["none any more"]["cpu"] == "no limit (cgroup v2)"
    held = facts["held then"]
    assert [held[f"memory.{name}"] for name in ("limit", "high", "low", "swap_limit")] == [None, None, 0, None]
    assert (held["cpu.quota"], held["cpu.weight"], held["pids.limit"]) == ([None, 100_000], 100, None)


def test_limits_of_a_group_that_lives_are_raised_and_lowered(told: Told) -> None:
    facts = told("changes")
    assert facts["raised"] == {"memory": "96 MiB (cgroup v2)"}
    assert facts["lowered"] == {"cpu": "0.25 cores (cgroup v2)", "cpu_burst": "0.25 cores (cgroup v2)"}
    assert facts["leaf"] == {"pids": "3 (cgroup v2)"}


def test_a_change_that_fails_half_way_is_taken_back(told: Told) -> None:
    facts = told("changes")
    assert "cpu.max.burst" in facts["refused"]["cpu"]
    assert facts["unchanged"]


def test_memory_below_what_is_held_kills(told: Told) -> None:
    facts = told("below_what_is_held")
    assert facts["answers"]["memory"] == "8 MiB (cgroup v2)"
    assert (facts["status"], facts["oom kills"]) == (-9, 1)


def test_a_controller_is_handed_on_to_a_group_that_was_made_without_it(told: Told) -> None:
    facts = told("later")
    assert facts["before"] == "cpu memory pids"
    assert facts["answers"] == {"io": "/dev/ram0: reads 1 MiB/s (cgroup v2)"}
    assert facts["leaf"] == {"io": "/dev/ram0: 5 reads/s (cgroup v2)"}


# -- disks


def test_writes_to_a_disk_are_slowed_down_to_the_limit(told: Told) -> None:
    facts = told("disk")
    assert facts["limited"] > 0.7
    assert facts["free"] < 0.5
    assert facts["written"] >= 2 * MIB


def test_each_number_of_a_disk_is_held_and_a_new_limit_is_all_of_it(told: Told) -> None:
    facts = told("disk")
    assert facts["held"]["io.limits"] == {"1:0": [None, MIB, None, 1000]}
    assert facts["more"] == {"io": "/dev/ram0: writes 1 MiB/s, 100 reads/s (cgroup v2)"}
    assert facts["none"] == {"io": "/dev/ram0: no limit (cgroup v2)"}


def test_what_is_no_disk_is_refused(told: Told) -> None:
    refused = told("disk")["refused"]
    assert refused["/proc"] == "/proc is on no disk, but on proc"
    assert refused["/dev/null"] == "/dev/null is on no disk, but on devtmpfs"
    assert refused["/no/such"] == "cannot look at /no/such: No such file or directory"
    assert refused["9:99"] == "there is no block device 9:99"


# -- a lack of memory


@pytest.mark.parametrize(
    ("case", "quiet", "other"),
    [("process process", -15, -15), ("group process", -9, -15), ("group group", -9, -9)],
)
def test_who_dies_of_a_lack_of_memory_is_as_asked(told: Told, case: str, quiet: int, other: int) -> None:
    """The greedy one's neighbour in its run, and one in another run: -15 is our own signal, by which it was alive."""
    facts = told("oom")[case]
    assert facts["by the kernel"]
    assert facts["greedy"] == -9
    assert (facts["quiet in the run"], facts["other run"]) == (quiet, other)
    run, elsewhere, task = facts["oom kills"]
    assert run >= 1
    assert (elsewhere > 0) == (other == -9)
    assert task == run + elsewhere


def test_a_lack_of_memory_wakes_who_waits_for_it(told: Told) -> None:
    facts = told("oom")["process process"]
    assert facts["quiet"]
    assert facts["told"]


# -- frozen


def test_a_frozen_leaf_is_killed_its_neighbour_stays_and_the_group_is_removed(told: Told) -> None:
    facts = told("frozen")
    assert facts == {"told": True, "killed": -9, "still frozen": True, "removed": -9}


# -- usage


def test_usage_is_sampled_and_agrees_with_the_figures(told: Told) -> None:
    facts = told("usage")
    sample = facts["sample"]
    oom_kills, nanoseconds, peak = facts["figures"]
    assert sample["oom_kills"] == oom_kills == 1
    assert sample["cpu"] == pytest.approx(nanoseconds / 1e9, rel=0.2)
    assert 8 * MIB < peak < 32 * MIB
    assert sample["memory_limit"] == 16 * MIB
    assert (sample["pids"], sample["pids_peak"], sample["pids_refused"], sample["swap"]) == (0, 1, 0, 0)
    assert sample["periods"] > 0
    assert sample["throttled_periods"] <= sample["periods"]
    assert sample["memory_pressure"] is None  # this kernel does not know it


# -- groups that were given to us


def test_a_plain_user_in_a_scope_of_its_own_makes_room_limits_kills_and_goes_back(told: Told) -> None:
    facts = told("a_scope_of_a_plain_user")
    assert facts["group"] == {"unified": "/sys/fs/cgroup/user.scope/thermos/plain"}
    assert facts["own"] == ""
    answers = facts["answers"]
    assert "takes root" in answers.pop("devices")
    assert answers == {
        "cpu": "0.5 cores (cgroup v2)",
        "memory": "32 MiB (cgroup v2)",
        "oom": "the whole group (cgroup v2)",
        "pids": "9 (cgroup v2)",
    }
    assert (facts["killed"], facts["back"], facts["controllers left"]) == (-9, True, "")


def test_in_a_scope_with_others_nobody_is_moved_and_the_reason_is_said(told: Told) -> None:
    facts = told("a_scope_with_others")
    assert f"holds other processes too (pid {facts['stranger']})" in facts["answers"]["memory"]
    assert "holds other processes too" in facts["answers"]["pids"]
    assert facts["frozen"]


def test_a_scope_with_others_is_not_made_one_of_threads(told: Told) -> None:
    """The kernel would hand pids on by itself, and then nobody could be in what is below."""
    facts = told("a_scope_with_others")
    assert (facts["handed on"], facts["type"]) == ("", "domain")
