"""The program on a host that has cgroup v2 and nothing else: a virtual machine that is booted once for all of these.

What is done in it is in in_vm/cgroup_v2.py, one function for each story; here it is judged what came of it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from in_the_vm import Facts, Told, tell

pytestmark = pytest.mark.root

STORIES = Path(__file__).with_name("in_vm") / "cgroup_v2.py"

HELD = {"memory.max": str(64 << 20), "pids.max": "20", "cpu.max": "50000 100000"}
GOT = {"cpu": "0.5 cores (cgroup v2)", "memory": "64 MiB (cgroup v2)", "pids": "20 (cgroup v2)"}


@pytest.fixture(scope="module")
def told() -> Told:
    """What came of a story, by its name."""
    return tell(STORIES)


def got(facts: Facts) -> dict[str, str | None]:
    return {name: facts["isolation"][name]["got"] for name in facts["isolation"] if name in GOT}


def ends(facts: Facts, process: str) -> list[tuple[str, int | None, str | None, str]]:
    """(state, code, signal, source) of a process's runs."""
    return [
        (run["state"], *(run["exit"][name] for name in ("code", "signal", "source"))) for run in facts["runs"][process]
    ]


# -- limits


def test_a_graph_with_limits_runs_to_success(told: Told) -> None:
    facts = told("limits")
    assert (facts["exit status"], facts["state"]) == (0, "SUCCESS")
    assert sorted(facts["ran"][:2]) == ["a 0", "b 0"]
    assert facts["ran"][2:] == ["c 0", "d 0"]


def test_the_limits_are_set_in_the_kernel_and_shown_as_version_2(told: Told) -> None:
    assert told("limits")["held"] == HELD
    assert got(told("limits")) == GOT


def leaf(line: str) -> str:
    """The group of a line of /proc/PID/cgroup, less what tells tasks of one id under two roots apart."""
    return re.sub(r"\.[0-9a-f]+-[0-9a-f]+/", "/", line.removeprefix("0::").rstrip("\n"))


def test_every_run_has_a_leaf_of_its_own(told: Told) -> None:
    logs = told("limits")["logs"]
    assert {name: leaf(logs[name]) for name in "abd"} == {name: f"/thermos/limits/{name}.0" for name in "abd"}


def test_a_process_over_the_memory_limit_failed_with_oom(told: Told) -> None:
    facts = told("out_of_memory")
    assert (facts["exit status"], facts["state"]) == (1, "FAILED")
    assert ends(facts, "greedy") == [("FAILED", None, "SIGKILL", "waited")]
    assert facts["runs"]["greedy"][0]["exit"]["oom"] is True


def test_a_process_has_limits_of_its_own_within_the_tasks(told: Told) -> None:
    facts = told("limits_of_processes")
    assert (facts["exit status"], facts["state"]) == (0, "SUCCESS")
    assert facts["held"] == {"memory.max": str(16 << 20), "pids.max": "9", "cpu.max": "25000 100000"}
    assert facts["isolation"]["memory of greedy"]["got"] == "32 MiB (cgroup v2)"
    assert facts["isolation"]["memory"]["got"] == "256 MiB (cgroup v2)"
    assert facts["runs"]["greedy"][0]["exit"]["oom"] is True


def test_the_figures_are_those_of_the_leaf_and_not_of_its_neighbour(told: Told) -> None:
    runs = told("out_of_memory")["runs"]
    greedy, small = runs["greedy"][0]["exit"], runs["small"][0]["exit"]
    assert small["oom"] is False
    assert greedy["memory"] > 30 << 20
    assert 0 < small["memory"] < 16 << 20
    assert small["cpu"] > 0


def test_fork_fails_beyond_the_limit_on_processes(told: Told) -> None:
    facts = told("too_many")
    assert (facts["exit status"], facts["state"]) == (1, "FAILED")
    assert "Cannot fork" in facts["errors"]
    assert "all of them" not in facts["logs"]["crowd"]


def test_what_a_run_leaves_behind_is_gone_before_the_next_starts(told: Told) -> None:
    facts = told("stragglers")
    assert facts["exit status"] == 0
    assert facts["logs"]["counter"] == "0\n"


# -- deaths


def test_a_killed_supervisor_changes_nothing(told: Told) -> None:
    facts = told("a_killed_supervisor")
    assert (facts["exit status"], facts["state"]) == (0, "SUCCESS")
    assert ends(facts, "first") == [("FAILED", 7, None, "waited")]
    assert sorted(facts["ran"]) == ["first 0", "next 0"]


def test_resume_adopts_a_process_and_reads_its_exit_status_from_its_zombie(told: Told) -> None:
    """This kernel is too old to tell anybody else: before Linux 6.15."""
    facts = told("adopted")
    assert facts["alive when taken over"]
    assert ends(facts, "first") == [("FAILED", 7, None, "zombie")]
    assert sorted(facts["ran"]) == ["first 0", "next 0"]
    assert facts["exit status"] == 0


def test_an_exit_that_nobody_saw_is_unknown_and_the_process_runs_again(told: Told) -> None:
    facts = told("nobody_looked")
    assert ends(facts, "first") == [("LOST", None, None, "unknown"), ("SUCCESS", 0, None, "waited")]
    assert sorted(facts["ran"]) == ["first 0", "first 1", "next 0"]
    assert facts["exit status"] == 0


# -- in a group that is not the root


def test_in_a_group_of_our_own_the_limits_are_set(told: Told) -> None:
    facts = told("a_group_of_our_own")
    assert facts["exit status"] == 0
    assert facts["held"] == HELD
    assert got(facts) == GOT
    assert leaf(facts["logs"]["next"]) == "/job/thermos/own-group/next.0"


def test_in_a_group_of_our_own_we_make_room_and_go_back_afterwards(told: Told) -> None:
    facts = told("a_group_of_our_own")
    assert facts["inside"] == {"cgroup.procs": "", "cgroup.subtree_control": "cpu memory pids"}
    assert facts["left inside"] == []
    assert facts["controllers left"] == ""


def test_in_a_shared_group_strict_refuses_and_names_who_is_in_the_way(told: Told) -> None:
    facts = told("a_shared_group")
    stranger, strict = facts["stranger"]["pid"], facts["strict"]
    assert strict["exit status"] == 69
    assert "resources.ram (64 MiB)" in strict["complaints"]
    assert f"/sys/fs/cgroup/shared holds other processes too (pid {stranger})" in strict["complaints"]
    assert "state" not in strict


def test_in_a_shared_group_best_effort_runs_and_shows_what_is_missing(told: Told) -> None:
    facts = told("a_shared_group")
    best = facts["best-effort"]
    assert (best["exit status"], best["ran"]) == (0, ["only 0"])
    assert got(best) == {"memory": None, "pids": None}
    assert f"pid {facts['stranger']['pid']}" in best["isolation"]["memory"]["why_not"]
    assert leaf(best["logs"]["only"]) == "/shared/thermos/shared-best-effort/only.0"


def test_in_a_shared_group_nobody_is_moved_and_nothing_is_left(told: Told) -> None:
    facts = told("a_shared_group")
    assert facts["stranger"]["group"] == "0::/shared"
    assert facts["strict"]["left inside"] == []
    assert facts["best-effort"]["left inside"] == []


def test_a_plain_user_with_a_delegated_group_has_limits(told: Told) -> None:
    facts = told("a_plain_user")
    assert facts["exit status"] == 0
    assert got(facts) == {**GOT, "memory": "32 MiB (cgroup v2)"}
    assert ends(facts, "greedy") == [("FAILED", None, "SIGKILL", "waited")]
    assert facts["runs"]["greedy"][0]["exit"]["oom"] is True
    assert leaf(facts["logs"]["small"]) == "/delegated/thermos/plain-user/small.0"


def test_what_a_plain_users_run_leaves_behind_is_killed_by_its_group(told: Told) -> None:
    facts = told("a_plain_user")
    assert facts["isolation"]["user"]["got"] == "private"
    assert facts["logs"]["counter"] == "0\n"
    assert facts["left inside"] == []


# -- afterwards


@pytest.mark.parametrize(
    "name",
    ["limits", "out_of_memory", "too_many", "stragglers", "a_killed_supervisor", "adopted", "nobody_looked"],
)
def test_no_group_outlives_its_task(told: Told, name: str) -> None:
    assert told(name)["groups left"] == []


def test_what_happens_in_the_machine_stays_there(told: Told) -> None:
    assert told("limits")["directory"].startswith("/var/tmp/")
    assert not Path(told("limits")["directory"]).exists()
