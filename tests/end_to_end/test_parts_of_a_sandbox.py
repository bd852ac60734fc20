"""A host that refuses one part of a sandbox: that part is missing, and said to be, and everything else is there."""

from __future__ import annotations

import json
import os
import shutil
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


def test_the_doctor_is_not_in_its_own_way_where_nothing_else_hides_its_directory() -> None:
    root = Path(f"/srv/test-doctor-{os.getpid()}")  # in /tmp a sandbox gets new directories on the way
    root.mkdir(mode=0o755)
    try:
        thermos = str(Path(sys.executable).with_name("thermos"))
        done = subprocess.run([thermos, "doctor", "--json", "--root", str(root)], capture_output=True, text=True)
        facts = {fact["what"]: fact for fact in json.loads(done.stdout)}
        assert facts["id-mapped mounts"]["works"], facts["id-mapped mounts"]["why_not"]
    finally:
        shutil.rmtree(root)
