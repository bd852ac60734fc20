"""`thermos simulate`: what its options mean, and what it refuses. What it tells is in tests/rehearsal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thermos.cli import main

Simulate = Callable[..., tuple[int, list[dict[str, Any]], dict[str, Any], str]]

TASK: dict[str, Any] = {
    "name": "t",
    "max_failures": 1,
    "processes": [
        {"name": "a", "cmdline": "true", "max_failures": 3, "min_duration": 0},
        {"name": "b=c@2", "cmdline": "true", "after": "a"},
        {"name": "web", "cmdline": "true", "daemon": True, "ephemeral": True, "health": {"tcp": {"port": 1}}},
    ],
}


@pytest.fixture
def simulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Simulate:
    def simulated(*options: str, task: dict[str, Any] = TASK) -> tuple[int, list[dict[str, Any]], dict[str, Any], str]:
        """Exit status, records, summary and standard error."""
        file = tmp_path / "task.json"
        file.write_text(json.dumps(task))
        status = main(["simulate", str(file), "--json", *options])
        out, err = capsys.readouterr()
        lines = [json.loads(line) for line in out.splitlines()]
        return status, lines[:-1], lines[-1]["summary"] if lines else {}, err

    return simulated


def ends(records: list[dict[str, Any]], name: str) -> list[tuple[float, Any]]:
    """When the runs of a process ended, and by what code or signal."""
    return [(r["at"], r.get("code", r.get("signal"))) for r in records if r["type"] == "exited" and r["name"] == name]


def test_everything_succeeds_after_a_second(simulate: Simulate) -> None:
    status, records, summary, err = simulate()
    assert (status, err) == (0, "")
    assert ends(records, "a") == [(1.0, 0)]
    assert ends(records, "b=c@2") == [(2.0, 0)]
    assert (summary["state"], summary["seconds"], summary["over"]) == ("SUCCESS", 2.0, True)
    assert summary["path"] == ["a/0", "b=c@2/0"]


def test_so_many_runs_fail_so_late(simulate: Simulate) -> None:
    _, records, _, _ = simulate("--fail", "a=2@3")
    assert ends(records, "a") == [(3.0, 1), (6.0, 1), (8.0, 0)]


def test_a_failure_without_a_number_is_one(simulate: Simulate) -> None:
    assert ends(simulate("--fail", "a")[1], "a") == [(1.0, 1), (2.0, 0)]


def test_always_is_always(simulate: Simulate) -> None:
    status, records, _, _ = simulate("--fail", "a=always")
    assert status == 1
    assert [code for _, code in ends(records, "a")] == [1, 1, 1]


def test_a_name_may_hold_what_separates(simulate: Simulate) -> None:
    assert ends(simulate("--fail", "b=c@2")[1], "b=c@2") == [(2.0, 1)]
    assert ends(simulate("--takes", "b=c@2=5")[1], "b=c@2") == [(6.0, 0)]
    assert ends(simulate("--signal", "b=c@2=SEGV@0.5")[1], "b=c@2") == [(1.5, 11)]


def test_what_goes_wrong_goes_wrong_one_after_another(simulate: Simulate) -> None:
    _, records, _, _ = simulate("--signal", "a=9@1", "--fail", "a=1@2", "--oom", "a@3")
    assert ends(records, "a") == [(2.0, 1), (5.0, 9), (7.0, 9), (10.0, 0)]
    assert [r.get("oom", False) for r in records if r["type"] == "exited"][:3] == [False, True, False]


def test_so_many_runs_exit_with_this_code_so_late(simulate: Simulate) -> None:
    assert ends(simulate("--exit", "a=75")[1], "a") == [(1.0, 75), (2.0, 0)]
    assert ends(simulate("--exit", "a=75x2@3")[1], "a") == [(3.0, 75), (6.0, 75), (8.0, 0)]
    assert [code for _, code in ends(simulate("--exit", "a=9xalways")[1], "a")] == [9, 9, 9]
    assert ends(simulate("--exit", "b=c@2=4@0.5")[1], "b=c@2") == [(1.5, 4)]


def test_a_code_may_be_that_of_a_success(simulate: Simulate) -> None:
    lenient = {"processes": [{"name": "a", "cmdline": "true", "success_codes": [0, 7]}]}
    status, records, summary, _ = simulate("--exit", "a=7", task=lenient)
    assert (status, summary["processes"][0]["outcome"]) == (0, "finished")
    assert ends(records, "a") == [(1.0, 7)]


def test_an_ephemeral_process_that_failed_for_good_has_failed(
    simulate: Simulate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = {"processes": [{"name": "a", "cmdline": "x"}, {"name": "e", "cmdline": "x", "ephemeral": True}]}
    options = ("--fail", "e=1@0.5")
    status, _, summary, _ = simulate(*options, task=task)
    assert (status, [process["outcome"] for process in summary["processes"]]) == (0, ["finished", "failed"])
    assert main(["simulate", str(tmp_path / "task.json"), *options]) == 0
    out = capsys.readouterr().out
    assert "e/0   FAILED: exited with 1; it has failed for good\n" in out
    assert "e        1     failed    exited with 1\n" in out
    assert simulate(task=task)[2]["processes"][1]["outcome"] == "finished"


def test_every_moment_of_a_death_is_a_life_for_programs(simulate: Simulate) -> None:
    """Nothing but JSON: a line for each life, and the summary, which is of the undisturbed one."""
    status, lives, summary, err = simulate("--fail", "a=always", "--kill-supervisor", "every")
    assert (status, err) == (1, "")
    assert [life["life"]["moment"] for life in lives] == list(range(1, summary["moments"] + 1))
    assert len(lives) > 10
    assert all(life["life"]["same"] for life in lives)
    assert {(life["life"]["state"], life["life"]["reason"]) for life in lives} == {("FAILED", summary["reason"])}
    assert (summary["state"], summary["over"], summary["note"], summary["differ"]) == ("FAILED", True, None, [])
    assert summary["runs"] == lives[0]["life"]["runs"]


def test_a_failure_is_none_of_the_codes_that_are_successes(simulate: Simulate) -> None:
    lenient = {"processes": [{"name": "a", "cmdline": "true", "success_codes": [1, 2]}]}
    assert ends(simulate(task=lenient)[1], "a") == [(1.0, 1)]
    assert ends(simulate("--fail", "a", task=lenient)[1], "a") == [(1.0, 3)]


def test_what_cannot_be_executed(simulate: Simulate) -> None:
    _, records, _, _ = simulate("--refuse", "a=EACCES")
    assert {r["message"] for r in records if r["type"] == "refused"} == {"Permission denied"}


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ((), 0),
        (("--fail", "a=3"), 1),
        (("--takes", "a=never", "--kill", "@5"), 143),
        (("--takes", "a=never"), 0),
    ],
    ids=str,
)
def test_the_exit_status_is_the_tasks(simulate: Simulate, options: tuple[str, ...], status: int) -> None:
    assert simulate(*options)[0] == status


def test_what_goes_on_for_ever_says_so(simulate: Simulate) -> None:
    _, _, summary, _ = simulate("--takes", "a=never")
    assert (summary["state"], summary["over"]) == ("ACTIVE", False)
    assert "--kill" in summary["note"]


def test_time_is_up_where_it_is_told(simulate: Simulate) -> None:
    _, records, summary, _ = simulate("--takes", "a=100", "--until", "10")
    assert summary["seconds"] == 10.0
    assert "--until" in summary["note"]
    assert ends(records, "a") == []


def test_runs_that_take_no_time_are_not_looked_at_for_ever(simulate: Simulate) -> None:
    busy = {"processes": [{"name": "a", "cmdline": "true", "daemon": True, "min_duration": 0}]}
    _, records, summary, _ = simulate("--takes", "a=0", task=busy)
    assert summary["seconds"] == 0.0
    assert "20000 runs" in summary["note"]
    assert len(ends(records, "a")) == 20_000


def test_a_supervisor_that_dies_is_followed_by_another(simulate: Simulate) -> None:
    for option in ("@0.5", "5"):
        _, records, summary, _ = simulate("--kill-supervisor", option)
        assert [r["type"] for r in records].count("supervised") == 2
        assert summary["state"] == "SUCCESS"


def test_a_reboot_loses_what_ran(simulate: Simulate) -> None:
    _, records, _, _ = simulate("--reboot", "@0.5")
    assert [r["source"] for r in records if r["type"] == "exited" and r["name"] == "a"] == ["unknown", "waited"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fail", "aa=1"), "cannot use --fail aa: the task has no process of that name; did you mean a?"),
        (("--fail", "zzz"), "cannot use --fail zzz: the task has no process of that name: there are a, b=c@2, web"),
        (("--fail", "a=some"), "cannot use --fail a=some: 'some' is no number of runs, and not 'always'"),
        (("--signal", "a=LOUD"), "cannot use --signal a=LOUD: 'LOUD' is no signal"),
        (("--signal", "a"), "cannot use --signal a: '' is no signal"),
        (("--refuse", "a=EWHAT"), "'EWHAT' is the name of no error"),
        (("--takes", "a=long"), "cannot use --takes a=long: 'long' is not a number of seconds"),
        (("--kill", "5"), "cannot use --kill 5: it should be @SECONDS"),
        (("--kill-supervisor", "soon"), "it should be @SECONDS, a number, or every"),
        (("--unhealthy", "a"), "cannot use --unhealthy a: that process has no health check"),
        (("--healthy", "a@1"), "cannot use --healthy a: that process has no health check"),
        (("--disk-full", "@4-1"), "cannot use --disk-full @4-1: it should end after it begins"),
        (("--disk-full", "@4-4"), "cannot use --disk-full @4-4: it should end after it begins"),
        (("--exit", "a"), "cannot use --exit a: '' is no exit code, 0 to 255"),
        (("--exit", "a=256"), "cannot use --exit a=256: '256' is no exit code, 0 to 255"),
        (("--exit", "a=3x"), "cannot use --exit a=3x: '' is no number of runs, and not 'always'"),
        (("--exit", "a=3xmany"), "cannot use --exit a=3xmany: 'many' is no number of runs, and not 'always'"),
        (("--disk-full", "@1-x"), "cannot use --disk-full @1-x: 'x' is not a number of seconds"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_used_is_refused(simulate: Simulate, options: tuple[str, ...], words: str) -> None:
    status, records, _, err = simulate(*options)
    assert (status, records) == (2, [])
    assert words in err


def test_nothing_is_started_and_nothing_is_written(simulate: Simulate, tmp_path: Path) -> None:
    simulate()
    assert [path.name for path in tmp_path.iterdir()] == ["task.json"]
