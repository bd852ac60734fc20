"""Random tasks in which supervisor, keeper or both are killed at random: each ends as it would have without that.

`scripts/soak MINUTES` goes on for longer, and begins elsewhere each time.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crash_points import Lives, Story
from real_program import RAN

pytestmark = pytest.mark.root


#: All of which come about in every life, but for the failure, which comes in none.
CONDITIONS: list[Any] = ["succeeded", "succeeded", "succeeded", "started", "completed", {"log": "^ready$"}, "failed"]


def a_story(chance: random.Random) -> Story:
    """A task whose runs do the same whenever they run: so that only what it came to can differ, and may not."""
    processes: list[dict[str, Any]] = []
    for number in range(chance.randint(2, 9)):
        final = chance.random() < 0.2
        before = [p["name"] for p in processes if p.get("final", False) == final]
        failures = chance.choice([0, 0, 0, 1, 2])  # so often it fails first
        pause = chance.choice(["", "", "sleep 0.05; ", "sleep 0.2; "])
        leaves = chance.choice(["", "", "", "sleep 1000 & ", "setsid sleep 1000 & "])
        rule = {"on": {"code": 3}, "budget": failures, "backoff": {"initial": chance.choice([0, 0.05])}}
        processes.append(
            {
                "name": f"p{number}",
                "cmdline": f"{RAN}{pause}{leaves}[ $THERMOS_RUN -ge {failures} ] || exit 3; echo ready",
                **chance.choice([{"max_failures": failures + 1}, {"restart": rule}]),
                "min_duration": 0,
                "final": final,
                "after": {name: chance.choice(CONDITIONS) for name in before if chance.random() < 0.4},
            }
        )
    fields: dict[str, Any] = {"max_concurrency": chance.choice([0, 0, 1, 2]), "finalization_wait": 60}
    return Story({**fields, "processes": processes}, options=chance.choice([[], [], [], ["--isolation", "none"]]))


def test_whoever_dies_at_random_times_the_task_ends_as_if_nobody_had(tmp_path: Path) -> None:
    seconds = float(os.environ.get("SOAK_SECONDS", 0))
    seed = time.time_ns() if seconds else 20261123
    print(f"seed {seed}")
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    tasks = deaths = 0
    while time.monotonic() < until or tasks < 3:
        lives = Lives(tmp_path / f"task-{tasks}", a_story(chance))
        tasks += 1
        for _ in range(4 if seconds else 2):
            times = [
                chance.choice([chance.uniform(0, 0.3), chance.expovariate(2)]) for _ in range(chance.randint(1, 5))
            ]
            plan = [f"{at:.4f} {chance.choice(['keeper', 'supervisor', 'keeper+supervisor'])}" for at in times]
            life, differs = lives.compare(replace(lives.story, random_kills=plan))
            assert differs == "", f"seed {seed}, task {tasks}"
            deaths += life.fired
        if seconds:
            print(f"{tasks} tasks, {deaths} deaths", flush=True)
    assert deaths > tasks
