"""A host that refuses one part of a sandbox: that part is missing, and said to be, and everything else is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from real_program import RAN, REPOSITORY, Program

pytestmark = pytest.mark.root

#: A /var without tmp, for what is started in it alone.
WITHOUT_TMP = """
set -e
mount --make-rprivate /
mount -t tmpfs none /var
exec "$@"
"""


def test_without_one_of_the_places_for_temporary_files_the_rest_is_private(program: Program) -> None:
    task = program.write([{"name": "only", "cmdline": RAN + "[ $$ -lt 10 ]"}])
    thermos = str(Path(sys.executable).with_name("thermos"))
    run = [thermos, "run", task, "--task-id", program.id, "--root", str(program.root)]
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", WITHOUT_TMP, "host", *run],
        env=program.environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert program.ran() == ["only 0"]
    rows = {row["what"]: row for row in program.status()["isolation"]}
    assert rows["/var/tmp"]["got"] is None
    assert "it is not there" in rows["/var/tmp"]["why_not"]
    assert {what: rows[what]["got"] for what in ("pid", "mount", "/tmp", "/proc")} == dict.fromkeys(
        ("pid", "mount", "/tmp", "/proc"), "private"
    )
