"""`thermos kill` and `thermos signal`, against a control socket that answers as a supervisor does."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from task_directories import DEADLINE, Cli, Made

from thermos.cli.kind import Cannot
from thermos.cli.signal import signal_number
from thermos.core import records as r
from thermos.runtime import takeover


def ends(task: Made) -> Any:
    """What a supervisor does about a kill: on record, answered, ended."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        task.write(r.KillRequested(at=3.0, by="root", wait=request["wait"], force=request["force"]))
        task.end("KILLED", "a kill was requested")
        return {"ok": True}

    return answer


def test_every_task_is_killed_and_its_end_waited_for(cli: Cli) -> None:
    listeners = []
    for task_id in ("a", "b"):
        task = cli.task(task_id)
        task.take_charge()
        task.activate()
        listeners.append(cli.listen(task, ends(task)))
    assert cli.run("kill", "b", "a", "--wait", "2m") == (0, "b: KILLED\na: KILLED\n", "")
    assert [x.requests for x in listeners] == [[{"request": "kill", "wait": 120.0, "force": False}]] * 2


def test_now_is_a_kill_by_force(cli: Cli) -> None:
    task = cli.task()
    task.take_charge()
    task.activate()
    listener = cli.listen(task, ends(task))
    status, out, _ = cli.run("kill", task.id, "--now", "--json")
    assert (status, [found["state"] for found in json.loads(out)]) == (0, ["KILLED"])
    assert listener.requests == [{"request": "kill", "wait": None, "force": True}]


def test_it_returns_only_when_the_task_has_ended(cli: Cli) -> None:
    task = cli.task()
    task.take_charge()
    task.activate()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        task.write(r.KillRequested(at=3.0, by="root"))
        return {"ok": True}

    cli.listen(task, answer)
    assert cli.run("kill", task.id, "--no-wait") == (0, "hello-1: ACTIVE\n", "")
    waiting = cli.start("kill", task.id)
    task.let_go()
    assert waiting.stderr
    assert waiting.stderr.readline().startswith("nobody is in charge of hello-1")
    assert waiting.poll() is None
    task.end("KILLED")
    assert waiting.communicate(timeout=DEADLINE)[0] == "hello-1: KILLED\n"


def test_ids_are_exact_and_an_unknown_one_spares_no_other(cli: Cli) -> None:
    task = cli.task("web-1")
    task.take_charge()
    task.activate()
    cli.listen(task, ends(task))
    status, out, err = cli.run("kill", "web", "web-1")
    assert (status, out) == (1, "web-1: KILLED\n")
    assert err == f"cannot find task web under {cli.root}; did you mean web-1?\n"


def test_a_task_that_has_ended_is_left_as_it_is(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    task.end("SUCCESS")
    assert cli.run("kill", task.id) == (0, "hello-1: SUCCESS\n", "")


def test_a_refusal_is_told_with_its_reason(cli: Cli) -> None:
    task = cli.task()
    task.take_charge()
    task.activate()
    cli.listen(task, lambda request: {"ok": False, "why": "it belongs to alice"})
    assert cli.run("kill", task.id) == (1, "", "cannot kill hello-1: it belongs to alice\n")


def test_a_kill_on_record_is_not_asked_for_again(cli: Cli) -> None:
    """The supervisor dies after writing the request down and before answering; a second request would mean force."""
    task = cli.task()
    task.take_charge()
    task.activate()

    def answer(request: dict[str, Any]) -> None:
        task.write(r.KillRequested(at=3.0, by="root"))

    listener = cli.listen(task, answer)
    assert cli.run("kill", task.id, "--no-wait")[0] == 0
    assert len(listener.requests) == 1


def test_a_supervisor_that_is_being_restarted_is_asked_again(cli: Cli) -> None:
    task = cli.task()
    task.take_charge()
    task.activate()
    answers = [None, {"ok": True}]
    listener = cli.listen(task, lambda request: answers.pop(0))
    assert cli.run("kill", task.id, "--no-wait")[0] == 0
    assert len(listener.requests) == 2


def test_a_task_without_anyone_in_charge_is_taken_over_first(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    task = cli.task()
    task.activate()

    def take_over(root: str, task_id: str) -> bool:
        assert (root, task_id) == (str(cli.root), task.id)
        task.take_charge()
        cli.listen(task, ends(task))
        return True

    monkeypatch.setattr(takeover, "take_over", take_over)
    assert cli.run("kill", task.id) == (0, "hello-1: KILLED\n", "")


def test_a_task_that_cannot_be_taken_over_says_why(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    status, out, err = cli.run("kill", task.id)  # its directory holds no lock to take
    assert (status, out) == (1, "")
    assert err.startswith("cannot take over hello-1: ")


def test_a_signal_reaches_the_supervisor_as_a_number(cli: Cli) -> None:
    task = cli.task("hello-1", "my web")
    task.take_charge()
    task.activate()
    listener = cli.listen(task, lambda request: {"ok": True})
    assert cli.run("signal", task.id, "my web", "HUP") == (0, "", "")
    assert listener.requests == [{"request": "signal", "process": "my web", "signal": 1}]


@pytest.mark.parametrize("text", ["TERM", "SIGTERM", "term", "15"])
def test_a_signal_has_many_spellings(text: str) -> None:
    assert signal_number(text) == signal.SIGTERM


def test_real_time_signals_are_counted_from_rtmin() -> None:
    assert (signal_number("RTMIN"), signal_number("SIGRTMIN+3")) == (signal.SIGRTMIN, signal.SIGRTMIN + 3)


@pytest.mark.parametrize("text", ["", "TERMINATE", "0", "99", "-9", "RTMIN+99", "RTMIN+", "SIG"])
def test_what_is_no_signal_is_wrong_usage(text: str) -> None:
    with pytest.raises(Cannot) as caught:
        signal_number(text)
    assert caught.value.status == 2


def test_a_signal_that_cannot_be_sent_says_why(cli: Cli) -> None:
    task = cli.task("hello-1", "web", "db")
    task.activate()
    assert cli.run("signal", task.id, "wbe", "HUP") == (
        1, "", "cannot signal 'wbe': the processes of hello-1 are web, db\n"
    )  # fmt: skip
    assert cli.run("signal", task.id, "web", "HUP")[2].endswith("nobody is in charge: thermos resume hello-1\n")
    task.end()
    assert cli.run("signal", task.id, "web", "HUP")[2].endswith("the task has ended\n")
