"""`thermos update`, `pause`, `unpause` and `doctor`: their words, against a socket that answers as a supervisor."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from task_directories import Cli, Made

SIZE = "expected bytes, or a text such as '256MiB' (KiB MiB GiB TiB; kB MB GB TB)"
USAGE = "Usage: thermos {0} [OPTIONS] TASK-ID\nTry 'thermos {0} --help' for help.\n\nError: {1}\n"


def row(what: str, asked: str, got: str | None, why_not: str | None = None) -> dict[str, Any]:
    return {"what": what, "asked": asked, "got": got, "why_not": why_not}


def supervised(cli: Cli, *processes: str) -> Made:
    task = cli.task("hello-1", *processes)
    task.take_charge()
    task.activate()
    return task


# -- update


def test_an_update_says_what_holds_now_in_the_words_of_the_task_file(cli: Cli) -> None:
    task = supervised(cli)
    rows = [row("memory", "1 GiB", "1 GiB (cgroup v1)"), row("cpus of web", "0", "0 (cgroup v1)")]
    listener = cli.listen(task, lambda request: {"ok": True, "rows": rows})
    said = cli.run("update", task.id, "--ram", "1GiB", "--cpuset", "0")
    assert said == (0, "ram: 1 GiB (cgroup v1)\ncpuset of web: 0 (cgroup v1)\n", "")
    assert listener.requests == [
        {"request": "update", "limits": {"ram": 1 << 30, "cpuset": "0"}, "process": None},
    ]


def test_what_the_host_cannot_give_is_unchanged_and_the_status_says_so(cli: Cli) -> None:
    task = supervised(cli)
    rows = [row("pids", "9", "9 (cgroup v1)"), row("memory_high", "1 GiB", None, "there is no memory.high")]
    cli.listen(task, lambda request: {"ok": True, "rows": rows})
    said = cli.run("update", task.id, "--pids", "9", "--ram-high", "1GiB")
    assert said == (69, "pids: 9 (cgroup v1)\nram_high: unchanged: there is no memory.high\n", "")


def test_none_is_no_limit_any_more(cli: Cli) -> None:
    task = supervised(cli)
    listener = cli.listen(task, lambda request: {"ok": True, "rows": [row("cpu", "no limit", "no limit (cgroup v1)")]})
    assert cli.run("update", task.id, "--process", "web", "--cpu", "none")[:2] == (0, "cpu: no limit (cgroup v1)\n")
    assert listener.requests == [{"request": "update", "limits": {"cpu": None}, "process": "web"}]


def test_for_programs_the_rows_are_those_of_status(cli: Cli) -> None:
    task = supervised(cli)
    rows = [row("memory", "1 KiB", None, "the group holds more than that now")]
    cli.listen(task, lambda request: {"ok": True, "rows": rows})
    status, out, err = cli.run("update", task.id, "--ram", "1KiB", "--json")
    assert (status, json.loads(out), err) == (69, rows, "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--ram", "lots"], f"--ram lots: {SIZE}, got the text 'lots'"),
        (["--ram", "128M"], f"--ram 128M: {SIZE}, got the text '128M', did you mean '128MiB' or '128MB'?"),
        (["--ram-low", ""], "--ram-low: it is empty; none takes the limit away"),
        (["--cpu", "0"], "--cpu 0: expected 0.01 to 1000000, got 0"),
        (["--cpu-burst", "2x"], "--cpu-burst 2x: expected cores, such as 1.5 or '500m', got the text '2x'"),
        (["--cpu-weight", "0"], "--cpu-weight 0: expected 1 to 10000, got 0"),
        (["--cpuset", "0-"], "--cpuset 0-: expected numbers of processors, such as '0-2,5', got the text '0-'"),
        (["--pids", "1.5"], "--pids 1.5: expected a whole number, got 1.5"),
        (["--io-weight", "20000"], "--io-weight 20000: expected 1 to 10000, got 20000"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_before_anybody_is_asked(cli: Cli, words: list[str], why: str) -> None:
    assert cli.run("update", "nobody-asks-for-it", *words) == (2, "", f"cannot use {why}\n")


def test_an_update_of_nothing_says_what_to_name(cli: Cli) -> None:
    why = "no limit is named; say which, as in --ram 1GiB"
    assert cli.run("update", "hello-1") == (2, "", f"cannot update hello-1: {why}\n")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("update a --rma 3", "No such option '--rma'. Did you mean '--ram'?"),
        ("update --ram 1GiB", "Missing argument 'TASK-ID'."),
        ("pause", "Missing argument 'TASK-ID'."),
        ("pause a b", "Got unexpected extra argument (b)"),
        ("unpause a --json", "No such option '--json'."),
    ],
)
def test_wrong_usage_is_explained(cli: Cli, line: str, why: str) -> None:
    assert cli.run(*line.split()) == (2, "", USAGE.format(line.split()[0], why))


# -- what all three of a running task have in common

REQUESTS = [["update", "--ram", "1GiB"], ["pause"], ["unpause"]]


@pytest.mark.parametrize("words", REQUESTS, ids=lambda words: str(words[0]))
def test_a_refusal_is_told_with_its_reason(cli: Cli, words: list[str]) -> None:
    task = supervised(cli)
    cli.listen(task, lambda request: {"ok": False, "why": "it has no group"})
    assert cli.run(*words, task.id) == (1, "", f"cannot {words[0]} hello-1: it has no group\n")


@pytest.mark.parametrize("words", REQUESTS, ids=lambda words: str(words[0]))
def test_a_task_that_has_ended_is_left_alone(cli: Cli, words: list[str]) -> None:
    task = cli.task()
    task.activate()
    task.end()
    assert cli.run(*words, task.id) == (1, "", f"cannot {words[0]} hello-1: the task has ended\n")


@pytest.mark.parametrize("words", REQUESTS, ids=lambda words: str(words[0]))
def test_a_task_that_nobody_is_in_charge_of_is_to_be_resumed_first(cli: Cli, words: list[str]) -> None:
    task = cli.task()
    task.activate()
    why = f"cannot {words[0]} hello-1: nobody is in charge: thermos resume hello-1\n"
    assert cli.run(*words, task.id) == (1, "", why)


@pytest.mark.parametrize("words", REQUESTS, ids=lambda words: str(words[0]))
def test_a_task_that_is_not_there_is_said_to_be_not_there(cli: Cli, words: list[str]) -> None:
    why = f"cannot find task no-such under {cli.root}; `thermos status` lists what is there\n"
    assert cli.run(*words, "no-such") == (1, "", why)


@pytest.mark.parametrize("word", ["pause", "unpause"])
def test_what_was_done_needs_no_words(cli: Cli, word: str) -> None:
    task = supervised(cli)
    listener = cli.listen(task, lambda request: {"ok": True})
    assert cli.run(word, task.id) == (0, "", "")
    assert listener.requests == [{"request": word}]


# -- doctor

#: What a host of any kind is asked about, by how the line begins.
AREAS = (
    "pid namespace",
    "cgroups",
    "exit status of a process that a stranger has reaped",
    "no_new_privs",
    "private network",
    "disk limit: walker",
    "images from a registry",
)


def test_doctor_tries_every_area_says_why_not_and_leaves_nothing(cli: Cli) -> None:
    status, out, err = cli.run("doctor")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line for line in lines if not line.startswith(("yes  ", "no   ", "     "))] == []
    said = [line[5:] for line in lines if line[0] != " "]
    assert [area for area in AREAS if not any(line.startswith(area) for line in said)] == []
    assert [line for line in lines if line.startswith("no ") and ": " not in line] == [], "without a reason"
    assert sorted(os.listdir(cli.root)) == ["tasks"]


def test_doctor_shows_what_is_missing_alone_and_all_of_it_to_programs(cli: Cli) -> None:
    facts = json.loads(cli.run("doctor", "--json")[1])
    assert {tuple(fact) for fact in facts} == {("what", "works", "how", "why_not", "remedy")}
    assert [fact for fact in facts if fact["works"] and fact["why_not"]] == []
    assert [fact for fact in facts if not fact["works"] and not fact["why_not"]] == []
    said = [line for line in cli.run("doctor", "--missing")[1].splitlines() if line[0] != " "]
    missing = [f"no   {fact['what']}: " for fact in facts if not fact["works"]]
    assert [line[: len(start)] for line, start in zip(said, missing, strict=True)] == missing


def test_doctor_says_where_it_may_try_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file, where a directory should be")
    why = f"cannot try anything in {tmp_path}/root: Not a directory\n"
    assert cli.run("doctor") == (1, "", why)


def test_doctor_takes_no_argument(cli: Cli) -> None:
    said = "Usage: thermos doctor [OPTIONS]\nTry 'thermos doctor --help' for help.\n\nError: "
    assert cli.run("doctor", "web") == (2, "", f"{said}Got unexpected extra argument (web)\n")
    assert cli.run("doctor", "--mising") == (2, "", f"{said}No such option '--mising'. Did you mean '--missing'?\n")
