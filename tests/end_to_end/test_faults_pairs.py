"""Many `run`s of one id at the same instant, again and again: one of them is in charge, the others wait with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from real_program import RAN, Program
from test_faults_sandbox_parts import an_image

from thermos.core import records as r

PAIRS = 6
AT_ONCE = 4


@pytest.mark.parametrize(
    ("mode", "image"),
    [
        pytest.param("strict", False, marks=pytest.mark.root),
        pytest.param("strict", True, marks=pytest.mark.root),
        ("none", False),
    ],
    ids=["strict", "image", "none"],
)
def test_of_many_runs_at_the_same_instant_one_is_in_charge_and_each_run_is_executed_once(
    program: Program, mode: str, image: bool
) -> None:
    fields: dict[str, Any] = {"sandbox": {"rootfs": an_image(program.base / "base.tar")}} if image else {}
    task = program.write([{"name": "first", "cmdline": RAN}, {"name": "last", "cmdline": RAN, "final": True}], **fields)
    stem = program.id
    for number in range(PAIRS):
        program.id = f"{stem}-{number}"
        ready = Barrier(AT_ONCE)

        def run(_: int, task_id: str = program.id, ready: Barrier = ready) -> tuple[int, str]:
            ready.wait()
            done = program.done("run", task, "--task-id", task_id, "--isolation", mode)
            return done.returncode, done.stderr

        with ThreadPoolExecutor(AT_ONCE) as all_of_them:
            ends = list(all_of_them.map(run, range(AT_ONCE)))
        assert [status for status, _ in ends] == [0] * AT_ONCE, ends
        assert all(f"{program.id}: SUCCESS" in said for _, said in ends)
        assert program.ran() == ["first 0", "last 0"]
        assert sum(isinstance(record, r.Supervised) for record in program.records()) == 1
    assert not list(program.root.glob("images/holders/*"))
    program.id = stem
