"""Supervisor, keeper or both die at every point of a task's life: it ends as if nothing had happened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from crash_points import Death, Lives, Story, deaths
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from real_program import AWAIT, RAN

pytestmark = pytest.mark.root

#: Everything a task can be made of, and quick: order, conditions of each kind, a retry, an ephemeral daemon that is
#: checked and has to be stopped by a command, a child left behind, a program that does not exist, a port, limits of a
#: process's own, finalizers in order.
FEATURES = Story(
    {
        "processes": [
            {"name": "first", "cmdline": RAN + "echo {{thermos.ports[http]}}"},
            {
                "name": "again",
                "cmdline": RAN + AWAIT.format("side-runs") + "[ $THERMOS_RUN -ge 1 ]",
                "max_failures": 2,
                "min_duration": 0,
                "after": {"first": "succeeded", "side": "healthy"},
            },
            {
                "name": "side",
                "cmdline": RAN + "touch side-runs; echo up; exec sleep 1000",
                "daemon": True,
                "ephemeral": True,
                "health": {"exec": {"cmdline": "[ -e side-runs ]"}, "interval_secs": 60, "timeout_secs": 30},
                "stop": {"command": "kill $THERMOS_PID"},
                "resources": {"pids": 30},
            },
            {
                "name": "parent",
                "cmdline": RAN + "setsid bash -c 'touch away; exec sleep 1000' & " + AWAIT.format("away") + "exit 0",
                "after": {"again": "completed", "side": {"log": "^up$"}},
            },
            {"name": "mend", "cmdline": RAN, "after": {"again": "failed"}},
            {"name": "missing", "argv": ["/nonexistent"], "ephemeral": True},
            {"name": "last", "cmdline": RAN, "final": True},
            {"name": "very-last", "cmdline": RAN, "final": True, "after": ["last"]},
        ]
    }
)

#: A task that has to be killed: one process obeys, one has to be killed with SIGKILL, and a finalizer.
KILLED = Story(
    {
        "finalization_wait": 30,
        "processes": [
            {"name": "obeys", "cmdline": RAN + "touch obeys; exec sleep 1000"},
            {
                "name": "deaf",
                "cmdline": "trap '' TERM; " + RAN + AWAIT.format("obeys") + "touch deaf; while :; do sleep 0.1; done",
            },
            {"name": "last", "cmdline": RAN, "final": True},
        ],
    },
    kill_when="deaf",
    kill=["--wait", "4"],
)

#: Plain processes: no cgroup and no namespace tells whose they are.
PLAIN = Story(FEATURES.task, options=["--isolation", "none"])


def thorough() -> bool:
    """As `scripts/soak --every-point` has it: not only in the places that differ much."""
    return "EVERY_POINT" in os.environ


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    return Lives(tmp_path_factory.mktemp("features"), FEATURES)


def test_the_undisturbed_life_is_what_the_task_file_says(features: Lives) -> None:
    outcome = features.undisturbed.outcome
    assert (outcome.status, outcome.state, outcome.left) == (0, "SUCCESS", [])
    assert outcome.ran == ["again 0", "again 1", "first 0", "last 0", "parent 0", "side 0", "very-last 0"]
    assert outcome.runs["again"] == ["FAILED 1 None", "SUCCESS 0 None"]
    assert outcome.runs["side"] == ["KILLED None SIGTERM"]
    assert outcome.runs["missing"] == ["FAILED None None"]


def test_a_death_at_any_point_changes_nothing(features: Lives) -> None:
    plans = [[death] for death in deaths(features.undisturbed.trace, thorough())]
    assert len(plans) > 200
    assert features.all_wrong(plans if thorough() else plans[::3]) == []


def test_a_death_at_any_point_of_a_kill_changes_nothing(tmp_path: Path) -> None:
    lives = Lives(tmp_path, KILLED)
    outcome = lives.undisturbed.outcome
    assert (outcome.status, outcome.state, outcome.left) == (143, "KILLED", [])
    assert outcome.runs == {
        "obeys": ["KILLED None SIGTERM"],
        "deaf": ["KILLED None SIGKILL"],
        "last": ["SUCCESS 0 None"],
    }
    trace = lives.undisturbed.trace
    asked = next(place for place, line in enumerate(trace) if line.startswith("supervisor before append KillRequested"))
    late = set(trace[asked:])
    plans = [[death] for death in deaths(trace, thorough()) if f"{death.who} {death.point}" in late]
    if not thorough():
        plans = [plan for plan in plans if plan[0].victims == "keeper+supervisor"][::2]
    assert len(plans) > 20
    assert lives.all_wrong(plans) == []


def test_deaths_of_both_change_nothing_where_nothing_isolates_the_processes(tmp_path: Path) -> None:
    lives = Lives(tmp_path, PLAIN)
    assert lives.undisturbed.outcome.left == []
    plans = [[death] for death in deaths(lives.undisturbed.trace, thorough()) if death.victims == "keeper+supervisor"]
    few = plans if thorough() else plans[::5]
    assert len(few) > 15
    assert lives.all_wrong(few) == []


@settings(
    max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], derandomize=True
)
@given(st.data())
def test_two_deaths_in_one_life_change_nothing(features: Lives, data: st.DataObject) -> None:
    every: list[Death] = list(deaths(features.undisturbed.trace, thorough=True))
    plans = data.draw(st.lists(st.lists(st.sampled_from(every), min_size=2, max_size=3), min_size=3, max_size=3))
    assert features.all_wrong(plans) == []
