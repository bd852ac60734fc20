"""More at once than a low limit on open files seems to allow."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path


def test_processes_that_start_at_once_are_not_limited_by_the_callers_soft_limit_but_get_it(tmp_path: Path) -> None:
    count, soft = 120, 64
    processes = [{"name": f"p{number}", "cmdline": "ulimit -S -n; sleep 0.3"} for number in range(count)]
    (tmp_path / "many.json").write_text(json.dumps({"processes": processes}))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = subprocess.run(
        [
            ".venv/bin/thermos",
            "run",
            str(tmp_path / "many.json"),
            "--task-id",
            "many",
            "--root",
            str(tmp_path / "root"),
        ],
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    logs = tmp_path / "root/tasks/many/sandbox/.logs"
    assert {(logs / f"p{number}/0/stdout").read_text() for number in range(count)} == {f"{soft}\n"}
