"""What is done to a whole machine: its clock is set, its pids run out, it is rebooted. In virtual machines, that is.

What is done in them is in in_vm/faults.py, one function for each story; here it is judged what came of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from in_the_vm import Facts, Told, tell

pytestmark = pytest.mark.root

STORIES = Path(__file__).with_name("in_vm") / "faults.py"
HOUR = 3600

#: In the order of telling; each list is a boot.
BOOTS = [
    [
        "clock_set_while_it_runs",
        "clock_set_between_supervisors",
        "group_full",
        "machine_full",
        "machine_full_when_the_supervisor_dies",
        "before_the_reboot",
    ],
    ["after_the_reboot"],
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What came of a story, by its name."""
    kept = str(tmp_path_factory.mktemp("kept"))
    stories: dict[str, Told] = {}
    for names in BOOTS:
        stories |= dict.fromkeys(names, tell(STORIES, kept, *names))
    return lambda name: stories[name](name)


def ends(facts: Facts, process: str) -> list[tuple[str, int | None]]:
    """(state, code) of a process's runs."""
    return [(run["state"], run["exit"]["code"]) for run in facts["runs"][process]]


# -- the clock


def test_setting_the_clock_changes_neither_what_happens_nor_in_which_order(told: Told) -> None:
    facts = told("clock_set_while_it_runs")
    assert (facts["exit status"], facts["state"]) == (0, "SUCCESS")
    assert sorted(facts["ran"][:2]) == ["first 0", "flaky 0"]
    assert facts["ran"][2:] == ["flaky 1", "flaky 2", "after 0"]
    assert ends(facts, "first") == [("SUCCESS", 0)]
    assert ends(facts, "flaky") == [("FAILED", 1), ("FAILED", 1), ("SUCCESS", 0)]


def test_setting_the_clock_moves_no_time_of_the_task(told: Told) -> None:
    times = [at for _, at in told("clock_set_while_it_runs")["times"]]
    assert times == sorted(times)
    assert times[-1] - times[0] < HOUR


def test_setting_the_clock_shortens_no_pause_and_lengthens_none(told: Told) -> None:
    first, second, third = told("clock_set_while_it_runs")["runs"]["flaky"]
    assert 1 <= second["started_at"] - first["ended_at"] < HOUR
    assert 2 <= third["started_at"] - second["ended_at"] < HOUR  # a second more: it failed twice in a row


def test_setting_the_clock_between_supervisors_loses_nothing(told: Told) -> None:
    facts = told("clock_set_between_supervisors")
    assert (facts["exit status"], facts["state"]) == (0, "SUCCESS")
    assert facts["ran"] == ["first 0", "after 0"]
    assert (ends(facts, "first"), ends(facts, "after")) == ([("SUCCESS", 0)], [("SUCCESS", 0)])


def test_a_supervisor_that_finds_another_year_goes_on_with_the_tasks_own_time(told: Told) -> None:
    times = told("clock_set_between_supervisors")["times"]
    assert [kind for kind, _ in times].count("Supervised") == 4
    assert [at for _, at in times] == sorted(at for _, at in times)
    assert times[-1][1] - times[0][1] < HOUR


# -- pids


@pytest.mark.parametrize("story", ["group_full", "machine_full"])
def test_a_run_for_which_there_is_no_pid_is_lost_and_tried_again(told: Told, story: str) -> None:
    facts = told(story)
    assert (facts["exit status"], facts["state"]) == (0, "SUCCESS")
    first, *lost, last = ends(facts, "late")
    assert first == ("FAILED", 1)
    assert set(lost) == {("LOST", None)}
    assert last == ("SUCCESS", 0)
    assert "Resource temporarily unavailable" in facts["runs"]["late"][1]["exit"]["cause"]
    assert [line for line in facts["ran"] if "late" in line] == ["late 0", f"late {len(lost) + 1}"]


def test_a_supervisor_that_dies_when_there_is_no_pid_left_is_replaced_when_there_is_one(told: Told) -> None:
    facts = told("machine_full_when_the_supervisor_dies")
    assert (facts["exit status"], facts["state"]) == (0, "SUCCESS")
    assert facts["ran"] == ["first 0", "after 0"]
    assert "Traceback" not in facts["complaints"]


# -- a reboot


def test_after_a_reboot_nobody_is_in_charge_until_somebody_resumes(told: Told) -> None:
    before, after = told("before_the_reboot"), told("after_the_reboot")
    assert before["boot"] != after["boot"]
    assert after["found"] == ["ACTIVE", False]
    assert after["taken over"] == ["rebooted"]


def test_after_a_reboot_what_ran_is_lost_and_tried_again_and_what_had_ended_is_not(told: Told) -> None:
    assert told("before_the_reboot")["ran"] == ["first 0", "second 0"]
    facts = told("after_the_reboot")
    assert (facts["exit status"], facts["state"]) == (0, "SUCCESS")
    assert facts["ran"] == ["first 0", "second 0", "second 1", "third 0"]
    assert ends(facts, "first") == [("SUCCESS", 0)]
    assert ends(facts, "second") == [("LOST", None), ("SUCCESS", 0)]
    assert facts["runs"]["second"][0]["exit"]["cause"] == "the host was rebooted"
    assert ends(facts, "third") == [("SUCCESS", 0)]
