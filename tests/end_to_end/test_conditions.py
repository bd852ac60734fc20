"""Who starts when: conditions other than success, for real, and through the deaths of those in charge."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program

from thermos.core import records as r

pytestmark = pytest.mark.root


def order(program: Program) -> list[str]:
    """The processes, in the order in which they were launched."""
    return [str(x.process) for x in program.records() if isinstance(x, r.Launched)]


def process(name: str, cmdline: str = RAN, **fields: Any) -> dict[str, Any]:
    return {"name": name, "cmdline": cmdline, "min_duration": 0, **fields}


def test_who_waits_for_a_start_begins_while_the_other_one_runs(program: Program) -> None:
    long = process("long", RAN + AWAIT.format("go"))
    run = program.begin([long, process("short", RAN + "touch go", after={"long": "started"})])
    assert run.wait() == 0
    assert program.ran() == ["long 0", "short 0"]


def test_who_waits_for_a_daemon_to_be_healthy_begins_when_it_answers(program: Program) -> None:
    serve = "until [ -e go ]; do sleep 0.01; done; exec python3 -m http.server {{thermos.ports[http]}}"
    api = process(
        "api",
        serve,
        daemon=True,
        ephemeral=True,
        health={"http": {"path": "/"}, "interval_secs": 0.2, "initial_interval_secs": "5m"},
    )
    run = program.begin([api, process("client", after={"api": "healthy"})])
    until(lambda: any(isinstance(x, r.Checked) and not x.ok for x in program.records()), "nobody asked")
    assert program.ran() == []
    program.touch("go")
    assert run.wait() == 0
    assert program.ran() == ["client 0"]


def test_who_waits_for_an_end_does_not_care_how_it_came(program: Program) -> None:
    processes = [
        process("bad", RAN + "exit 7"),
        process("good"),
        process("after", after={"bad": "completed", "good": "completed"}),
    ]
    run = program.begin(processes, max_failures=2)
    assert run.wait() == 0
    assert program.ran()[2:] == ["after 0"]


def test_who_waits_for_a_failure_mends_it(program: Program) -> None:
    processes = [process("bad", RAN + "exit 7", max_failures=2), process("mend", after={"bad": "failed"})]
    assert program.begin(processes, max_failures=2).wait() == 0
    assert program.ran() == ["bad 0", "bad 1", "mend 0"]


def test_who_waits_for_a_failure_that_does_not_come_is_skipped_and_so_is_who_waits_for_it(program: Program) -> None:
    processes = [
        process("good"),
        process("mend", after={"good": "failed"}),
        process("then", after=["mend"]),
        process("anyway", after={"mend": "completed"}),
    ]
    assert program.begin(processes).wait() == 0
    assert program.ran() == ["good 0", "anyway 0"]
    assert [each["state"] for each in program.status()["processes"]] == ["SUCCESS", "WAITING", "WAITING", "SUCCESS"]


def test_a_line_of_output_is_waited_for_wherever_it_is_written(program: Program) -> None:
    writes = "echo almost rea; echo now: ready to serve >&2; " + AWAIT.format("go")
    waits = process("waits", RAN + "touch go", after={"writes": {"log": "ready to \\w+"}})
    assert program.begin([process("writes", writes), waits]).wait() == 0
    assert program.ran() == ["waits 0"]


def test_the_last_line_counts_though_it_has_no_end_and_its_writer_is_gone(program: Program) -> None:
    for number in range(5):
        program.id = f"{program.id[:90]}-{number}"
        waits = process("waits", after={"writes": {"log": "^ready$"}})
        assert program.begin([process("writes", "printf 'more\\nready'"), waits]).wait() == 0
        assert program.ran() == ["waits 0"]


@pytest.mark.parametrize("pattern", ["^\\u2713 r[éè]ady$", "[[]ok", "(?u)ready"])
def test_an_expression_means_text_and_not_bytes(program: Program, pattern: str) -> None:
    writes = process("writes", "echo '✓ rèady'; echo '[ok'; echo ready")
    run = program.begin([writes, process("waits", after={"writes": {"log": pattern}})])
    out, err = run.communicate()
    assert (run.returncode, out) == (0, ""), err
    assert "Warning" not in err


def test_a_long_output_is_read_to_its_last_line(program: Program) -> None:
    writes = process("writes", "seq 5000000; echo ready")
    assert program.begin([writes, process("waits", after={"writes": {"log": "ready"}})]).wait() == 0


def test_a_line_that_never_comes_fails_the_task_and_is_named(program: Program) -> None:
    processes = [process("writes", "echo hello"), process("waits", after={"writes": {"log": "good-?bye"}})]
    run = program.begin(processes)
    assert run.wait() == 1
    assert "nothing can run: waits waits for writes to log 'good-?bye'" in program.status()["reason"]


def test_an_expression_that_takes_for_ever_holds_nobody_up_for_long(program: Program) -> None:
    """The one that reads it is a process of its own, and is given two seconds after the end of what it reads."""
    writes = process("writes", f"echo {'a' * 60}!")
    run = program.begin([writes, process("waits", after={"writes": {"log": "^(a+)+$"}})])
    assert run.wait() == 1


def test_a_log_that_was_replaced_by_a_link_is_not_read(program: Program) -> None:
    secret = program.base / "secret"
    secret.write_text("ready\n")
    writes = f"rm .logs/writes/0/*; ln -s {secret} .logs/writes/0/stdout; mkfifo .logs/writes/0/stderr; sleep 0.3"
    run = program.begin([process("writes", writes), process("waits", after={"writes": {"log": "ready"}})])
    assert run.wait() == 1
    assert program.ran() == []


@pytest.mark.parametrize(
    "victims", ["supervisor", *(pytest.param(name, marks=pytest.mark.exit_facts) for name in ("keeper", "both"))]
)
def test_what_was_come_to_before_a_death_is_not_waited_for_again(program: Program, victims: str) -> None:
    writes = process("writes", RAN + "echo ready; " + AWAIT.format("go"))
    first = process("first", after={"writes": {"log": "ready"}})
    second = process("second", after={"writes": {"log": "done"}})
    run = program.begin([{**writes, "cmdline": writes["cmdline"] + "echo done"}, first, second])
    until(lambda: "first 0" in program.ran(), "it did not see the line")
    dead = [program.supervisor()] if victims != "keeper" else []
    dead += [program.keeper()] if victims != "supervisor" else []
    program.kill(*dead)
    if victims == "both":
        resumed = program.start("resume", program.id)
        until(lambda: len([x for x in program.records() if isinstance(x, r.Supervised)]) == 2)
        program.touch("go")
        assert resumed.wait() == 0
    else:
        until(lambda: program.supervisor() and program.keeper())
        program.touch("go")
        until(lambda: program.status()["state"] == "SUCCESS", "it did not end")
    run.wait()
    assert sorted(program.ran()) == ["first 0", "second 0", "writes 0"]


@pytest.mark.exit_facts
def test_a_line_written_while_nobody_was_in_charge_is_found(program: Program) -> None:
    writes = process("writes", RAN + AWAIT.format("go") + "echo ready; touch written; " + AWAIT.format("stop"))
    waits = process("waits", RAN + "touch stop", after={"writes": {"log": "ready"}})
    run = program.begin([writes, waits])
    until(lambda: program.ran() == ["writes 0"])
    program.kill(program.supervisor(), program.keeper())
    run.wait()
    program.touch("go")
    until(lambda: (program.sandbox / "written").exists())
    assert program.start("resume", program.id).wait() == 0
    assert program.ran() == ["writes 0", "waits 0"]


def test_readers_die_with_those_who_asked_and_with_the_run(program: Program) -> None:
    """The fixture sees to it that none is left; here one is there, and has the rights of the run's user alone."""
    writes = process("writes", RAN + AWAIT.format("go"))
    waits = process("waits", after={"writes": {"log": "never"}})
    run = program.begin([writes, waits], user="nobody")
    supervisor = program.in_charge()

    def children() -> list[int]:
        with open(f"/proc/{supervisor}/task/{supervisor}/children") as file:
            return [int(pid) for pid in file.read().split()]

    (reader,) = until(children, "there is no reader")
    until(lambda: os.stat(f"/proc/{reader}").st_uid == 65534, "it did not become the task's user")
    with open(f"/proc/{reader}/status") as file:
        assert "NoNewPrivs:\t1" in file.read()
    program.touch("go")
    assert run.wait() == 1


def test_a_condition_is_shown_as_it_was_written(program: Program) -> None:
    run = program.begin([process("a"), process("b", after={"a": "started"})])
    assert run.wait() == 0
    task = json.loads((program.directory / "task.json").read_text())["task"]
    assert task["processes"][1]["conditions"] == [{"process": "a", "on": "started", "pattern": ""}]
    assert order(program) == ["0", "1"]
