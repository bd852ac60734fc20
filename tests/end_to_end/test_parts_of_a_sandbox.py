"""A host that refuses one part of a sandbox: that part is missing, and said to be, and everything else is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from real_program import RAN, REPOSITORY, Program

pytestmark = pytest.mark.root

#: A /dev without shm, for what is started in it alone.
WITHOUT_SHM = """
set -e
mount --make-rprivate /
mkdir -p "$0/dev"
for name in null zero full random urandom; do
    touch "$0/dev/$name"
    mount --bind "/dev/$name" "$0/dev/$name"
done
mount --rbind "$0/dev" /dev
exec "$@"
"""


def test_without_a_place_for_shared_memory_the_rest_is_private(program: Program) -> None:
    task = program.write([{"name": "only", "cmdline": RAN + "[ $$ -lt 10 ]"}])
    thermos = str(Path(sys.executable).with_name("thermos"))
    run = [thermos, "run", task, "--task-id", program.id, "--root", str(program.root)]
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", WITHOUT_SHM, str(program.base), *run],
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
    assert rows["/dev/shm"]["got"] is None
    assert "No such file or directory" in rows["/dev/shm"]["why_not"]
    assert {what: rows[what]["got"] for what in ("pid", "mount", "/tmp", "/proc")} == dict.fromkeys(
        ("pid", "mount", "/tmp", "/proc"), "private"
    )
