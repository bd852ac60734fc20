"""Two `run`s of one id at the same instant, again and again: one of them is in charge, and the other waits with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from real_program import RAN, Program

from thermos.core import records as r

PAIRS = 6


@pytest.mark.parametrize("mode", [pytest.param("strict", marks=pytest.mark.root), "none"])
def test_of_two_runs_at_the_same_instant_one_is_in_charge_and_each_run_is_executed_once(
    program: Program, mode: str
) -> None:
    task = program.write([{"name": "first", "cmdline": RAN}, {"name": "last", "cmdline": RAN, "final": True}])
    stem = program.id
    for number in range(PAIRS):
        program.id = f"{stem}-{number}"
        ready = Barrier(2)

        def run(_: int, task_id: str = program.id, ready: Barrier = ready) -> tuple[int, str]:
            ready.wait()
            done = program.done("run", task, "--task-id", task_id, "--isolation", mode)
            return done.returncode, done.stderr

        with ThreadPoolExecutor(2) as both:
            ends = list(both.map(run, range(2)))
        assert [status for status, _ in ends] == [0, 0], ends
        assert all(f"{program.id}: SUCCESS" in said for _, said in ends)
        assert program.ran() == ["first 0", "last 0"]
        assert sum(isinstance(record, r.Supervised) for record in program.records()) == 1
    program.id = stem
