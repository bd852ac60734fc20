"""A task that is rehearsed and then run in earnest: the same things happen in the same order, for the same reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_program import REPOSITORY, Program

from thermos.core import records as r

TOLD = (r.StageEntered, r.Launched, r.Started, r.Exited, r.Signalled, r.KillRequested)


def process(name: str, cmdline: str = "true", **fields: Any) -> dict[str, Any]:
    return {"name": name, "cmdline": cmdline, "min_duration": 0, **fields}


def story(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What happened, and what led to it, without times, numbers of records, and how a sandbox is made."""
    by_number = dict(enumerate(records, 1))

    def what(record: dict[str, Any] | None) -> tuple[Any, ...]:
        names = ("type", "stage", "reason", "process", "run", "code", "signal")
        return tuple((record or {}).get(name) for name in names)

    kinds = {kind.__struct_config__.tag for kind in TOLD}
    return [
        (what(record), what(by_number.get(record.get("cause", 0)))) for record in records if record["type"] in kinds
    ]


def rehearsed(program: Program, file: str, *options: str) -> list[dict[str, Any]]:
    done = program.done("simulate", file, "--json", *options)
    return [record for record in map(json.loads, done.stdout.splitlines()) if "seq" in record]


def run_in_earnest(program: Program, file: str) -> tuple[int, list[dict[str, Any]]]:
    status = program.start("run", file, "--task-id", program.id, "--isolation", "none").wait()
    return status, [msgspec.to_builtins(record, enc_hook=list) for record in program.records()]


def test_a_chain_with_a_retry_a_skipped_one_and_a_finalizer(program: Program) -> None:
    file = program.write(
        [
            process("first"),
            process("flaky", "((THERMOS_RUN > 0))", max_failures=2, after="first"),
            process("undo", after={"flaky": "failed"}),
            process("last", after={"flaky": "succeeded", "undo": "completed"}),
            process("cleanup", final=True),
        ]
    )
    status, records = run_in_earnest(program, file)
    assert status == 0
    assert story(rehearsed(program, file, "--fail", "flaky=1")) == story(records)


def test_a_task_that_gets_stuck(program: Program) -> None:
    file = program.write(
        [process("bad", "exit 1"), process("never", after="bad"), process("cleanup", final=True)], max_failures=0
    )
    status, records = run_in_earnest(program, file)
    assert status == 1
    assert story(rehearsed(program, file, "--fail", "bad=1")) == story(records)


@pytest.mark.parametrize("example", ["hello", "failing"])
def test_examples(program: Program, example: str) -> None:
    file = str(Path(REPOSITORY) / f"examples/{example}.yaml")
    options = {"hello": (), "failing": ("--fail", "flaky=1", "--fail", "migrate=2")}[example]
    _, records = run_in_earnest(program, file)
    codes = {3: 1}  # a rehearsal knows that it failed, not with what
    for record in records:
        record["code"] = codes.get(record.get("code", -1), record.get("code"))
    assert story(rehearsed(program, file, *options)) == story(records)
