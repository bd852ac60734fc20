"""Limits as a task file has them become limits of groups; and which of those that somebody asks for make sense."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sandbox.cgroups import tree
from thermos.core.task import IoLimit, Resources
from thermos.runtime import limits


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-limits-{os.getpid()}"
    yield name
    tree.remove_tree(tree.find(name))


# -- words


def test_a_field_that_is_not_said_is_no_limit_and_none_takes_one_away() -> None:
    assert limits.of({"ram": 1 << 20, "pids": None, "io": None}) == {"memory": 1 << 20, "pids": -1, "io": ()}
    assert limits.said(msgspec.structs.asdict(Resources(cpu=1.5))) == {"cpu": 1.5}


def test_a_weight_that_is_taken_away_is_that_from_birth_and_so_are_processors() -> None:
    asked = {"cpu_weight": None, "io_weight": None, "cpuset": None}
    assert limits.of(asked) == {"cpu_weight": 100, "io_weight": 100, "cpus": ""}


def test_devices_are_the_same_from_a_file_and_from_a_request() -> None:
    device = IoLimit("/dev/x", read=5)
    (as_struct,) = limits.of({"io": (device,)})["io"]
    (as_words,) = limits.of({"io": [{"path": "/dev/x", "read": 5}]})["io"]
    assert as_struct == as_words == ("/dev/x", 5, None, None, None)


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ("memory", "resources.ram"),
        ("cpus of web", "resources.cpuset of web"),
        ("pids", "resources.pids"),
        ("oom", "resources.oom"),
    ],
)
def test_a_row_is_about_a_field_of_the_file(what: str, field: str) -> None:
    assert limits.field_of(what) == field


def test_what_was_given_has_no_reason_for_not_being_given() -> None:
    assert limits.row("pids", "5", "5", "no")["why_not"] is None
    assert limits.row("pids", "5", None, "no")["why_not"] == "no"


# -- sense


@pytest.mark.parametrize(
    "asked",
    [
        {"cpu": 0.5, "cpu_weight": 10_000, "cpu_burst": 0},
        {"ram": 1, "swap": 0, "ram_low": 0, "pids": 1},
        {"cpuset": "0-1,3"},
        {"cpu": None, "cpuset": None, "io": None, "ram": None},
        {"io": [{"path": "/dev/x", "write": 1}]},
    ],
    ids=str,
)
def test_what_makes_sense_is_not_wrong(asked: dict[str, Any]) -> None:
    assert limits.wrong(asked) == ""


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"cpu": float("inf")}, "cpu is from 0.001 to 1e+06, not inf"),
        ({"cpu": float("nan")}, "cpu is from 0.001 to 1e+06, not nan"),
        ({"ram": -1}, "ram is from 1 to "),
        ({"pids": 0}, "pids is from 1 to "),
        ({"io_weight": 10_001}, "io_weight is from 1 to 10000, not 10001"),
        ({"cpuset": ""}, "cpuset is a list such as 0-1,3, not ''"),
        ({"cpuset": "0-"}, "cpuset is a list such as 0-1,3"),
        ({"cpuset": "1-2-3"}, "cpuset is a list such as 0-1,3"),
        ({"cpuset": "0-99999"}, "cpuset is a list such as 0-1,3"),
        ({"io": [{"path": "/dev/x", "read": 0}]}, "a rate of io is at least 1 a second"),
        ({"io": [{"path": "/dev/x", "read_iops": 1 << 31}]}, "reads and writes a second are at most 2147483647"),
    ],
    ids=str,
)
def test_what_makes_none_is_told(asked: dict[str, Any], why: str) -> None:
    assert limits.wrong(asked).startswith(why)


# -- groups


@pytest.mark.root
def test_a_group_has_what_its_processes_will_need(name: str) -> None:
    processes = [{"name": "p", "resources": {"cpuset": "0"}}, {"name": "q"}]
    group, rows = limits.isolate(name, "strict", {"pids": 20}, processes)
    assert {row["what"]: row["got"] is not None for row in rows} == {
        "pids": True,
        "processes": True,
        "cpus of p": True,
    }
    assert "cpuset" in group or set(group) == {"unified"}
    assert [entry for entry in Path(group["pids" if "pids" in group else "unified"]).iterdir() if entry.is_dir()] == []


@pytest.mark.root
def test_a_run_that_has_ended_meanwhile_is_none(name: str) -> None:
    """Its group is gone: what holds for the runs to come is tried, and nothing stays of that."""
    group, _ = limits.isolate(name, "strict", {})
    (told,) = limits.change(group, {"pids": 7}, "p", 3)
    assert told["what"] == "pids of p"
    assert told["got"].startswith("7")
    assert not [path for path in tree.directories(group, "p.3") + tree.directories(group, "p.0") if os.path.isdir(path)]


@pytest.mark.root
def test_a_run_that_lives_has_them_at_once(name: str) -> None:
    group, _ = limits.isolate(name, "strict", {})
    tree.make_leaf(group, "p.3")
    assert limits.change(group, {"pids": 7}, "p", 3)[0]["got"].startswith("7")
    assert limits.change(group, {"pids": None}, "p", 3)[0]["got"].startswith("no limit")


@pytest.mark.root
def test_every_limit_can_be_taken_away(name: str) -> None:
    """From a group and from a run; what this host cannot lift is said to be unchanged."""
    group, _ = limits.isolate(name, "strict", {"cpuset": "0", "cpu": 1.0, "cpu_weight": 7, "ram": 1 << 26, "pids": 9})
    tree.make_leaf(group, "p.0")
    for process in ("", "p"):
        for field in limits.FIELDS:
            (row,) = limits.change(group, {field: None}, process, 0) or [limits.row(field, "", "nothing to lift")]
            assert row["got"] is not None or row["why_not"], field
    lifted = limits.change(group, dict.fromkeys(("cpuset", "cpu", "cpu_weight", "ram", "pids")))
    every = ",".join(sorted({row["got"].split(" (")[0] for row in lifted if row["what"] != "cpus"}))
    assert every == "100,no limit"


def test_plain_processes_have_no_limits_and_it_says_why() -> None:
    group, rows = limits.isolate("nobody", "none", {"ram": 1 << 20})
    assert group == {}
    assert [(row["got"], row["why_not"]) for row in rows] == [(None, "isolation is none")]
