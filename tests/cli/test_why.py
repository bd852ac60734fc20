"""`thermos why` on task directories as a supervisor leaves them."""

from __future__ import annotations

import json
import re

from task_directories import Cli, process

from thermos.core import records as r


def a_failed_task(cli: Cli) -> str:
    task = cli.task("shop-1", process("migrate"), process("report", after=("migrate",)))
    task.activate()
    task.start(0)
    task.exit(0, code=3)
    reason = "1 process failed for good, the limit is 1"
    task.write(r.StageEntered(at=1764000020.5, cause=5, stage="CLEANING", reason=reason, result="FAILED"))
    task.write(r.StageEntered(at=1764000020.5, cause=6, stage="FINALIZING", reason="nothing runs any more"))
    task.write(r.StageEntered(at=1764000020.5, cause=7, stage="FAILED", reason=reason, result="FAILED"))
    return task.id


def without_times(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.+-]+", "TIME", text)


def test_a_process_that_never_ran_leads_to_the_one_that_failed(cli: Cli) -> None:
    status, out, err = cli.run("why", a_failed_task(cli), "report")
    assert (status, err) == (0, "")
    assert without_times(out).splitlines() == [
        "report never ran: the task is FAILED: 1 process failed for good, the limit is 1",
        "  report waits for migrate to succeed, and that comes no more",
        "    migrate failed for good: run 0 FAILED, exited with 3  (TIME)",
        "      that was failure 1 of 1 (max_failures)",
        "",
        "what led to it:",
        "     5  TIME  migrate/0 ended: exited with 3",
    ]


def test_the_task_itself(cli: Cli) -> None:
    status, out, _ = cli.run("why", a_failed_task(cli))
    assert status == 0
    assert out.startswith("the task is FAILED: 1 process failed for good, the limit is 1")
    assert "  migrate failed for good: run 0 FAILED, exited with 3" in out


def test_programs_get_steps_and_records(cli: Cli) -> None:
    _, out, _ = cli.run("why", a_failed_task(cli), "report", "--json")
    answer = json.loads(out)
    assert (answer["task_id"], answer["process"]) == ("shop-1", "report")
    assert [step["depth"] for step in answer["steps"]] == [0, 1, 2, 3]
    assert answer["steps"][2]["seq"] == 5
    assert answer["steps"][2]["at"] == 1764000010.5
    assert [(record["seq"], record["type"], record["name"]) for record in answer["records"]] == [
        (5, "exited", "migrate")
    ]


def test_the_causes_are_followed_to_where_it_began(cli: Cli) -> None:
    task = cli.task("shop-2", process("migrate"))
    task.activate()
    task.start(0)
    task.write(r.KillRequested(at=1764000003.0, by="uid 0"))
    task.write(
        r.StageEntered(at=1764000003.0, cause=5, stage="CLEANING", reason="a kill was requested", result="KILLED")
    )
    task.write(r.Signalled(at=1764000003.0, cause=6, process=0, run=0, signal=15))
    task.take_charge()
    _, out, _ = cli.run("why", task.id, "migrate")
    lines = without_times(out).splitlines()
    assert lines[0] == "migrate/0 has not ended yet, and was told to stop  (TIME)"
    assert lines[1] == "  the task is CLEANING: a kill was requested  (TIME)"
    assert lines[lines.index("what led to it:") + 1 :] == [
        "     7  TIME  migrate/0 is to get SIGTERM  (because of 6)",
        "     6  TIME  the task is CLEANING: a kill was requested  (because of 5)",
        "     5  TIME  uid 0 asked to kill the task",
    ]


def test_a_task_that_nobody_is_in_charge_of_says_so_first(cli: Cli) -> None:
    task = cli.task("shop-3", process("migrate"))
    task.activate()
    _, out, _ = cli.run("why", task.id)
    assert out.startswith("nobody is in charge of the task, so nothing goes on: thermos resume shop-3\n")
    task.take_charge()
    assert cli.run("why", task.id)[1].startswith("the task is ACTIVE: the task was accepted")


def test_a_task_without_a_journal_has_an_answer(cli: Cli) -> None:
    task = cli.task("shop-4", process("migrate"))
    status, out, _ = cli.run("why", task.id)
    assert status == 0
    assert "nobody has taken charge of it yet" in out


def test_a_name_that_is_nearly_right_is_offered(cli: Cli) -> None:
    status, out, err = cli.run("why", a_failed_task(cli), "reprot")
    assert (status, out) == (1, "")
    assert err == "cannot find process reprot in task shop-1; did you mean report?\n"


def test_an_unknown_task_is_refused(cli: Cli) -> None:
    status, _, err = cli.run("why", "nothing")
    assert status == 1
    assert err.startswith("cannot find task nothing")
