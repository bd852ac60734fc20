"""The directory of a task is removed, or something else is put in its place, while a process runs in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadline import until
from real_program import RAN, Program, Started

pytestmark = pytest.mark.root

#: A process that needs no directory to be told that it may end, and one that follows it.
PROCESSES = [
    {"name": "first", "cmdline": 'trap "exit 0" USR1; ' + RAN + ": > up; while :; do sleep 0.01; done"},
    {"name": "second", "cmdline": RAN + "pwd", "after": ["first"]},
]


@pytest.fixture(params=["/tmp", "/var/tmp"])
def box(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where a sandbox can be made: below the /tmp that a task has for itself, or elsewhere."""
    with tempfile.TemporaryDirectory(prefix="thermos-box-", dir=request.param) as path:
        Path(path).chmod(0o755)
        yield Path(path) / "box"


def begin(program: Program, box: Path, *words: str) -> Started:
    run = program.begin(PROCESSES, "--sandbox", str(box), *words)
    until(lambda: (box / "up").exists() and program.started(), "the first process did not start")
    return run


def remove(directory: Path) -> None:
    """As rm -rf does, as often as it takes: who is starting meanwhile makes its logs there."""
    until(lambda: shutil.rmtree(directory, ignore_errors=True) or not directory.exists(), "it comes back")


def ended(program: Program, run: Started) -> tuple[str, str]:
    """How the two processes came out, once the first has been told to end: the first's state, the second's cause."""
    assert program.done("signal", program.id, "first", "USR1").returncode == 0
    assert run.wait() == 1
    runs = program.runs()
    (first,), (second,) = runs["first"], runs["second"]
    assert second["state"] == "FAILED"
    return first["state"], second["exit"]["cause"]


@pytest.mark.parametrize("mode", ["strict", "none"])
def test_a_sandbox_that_is_removed_ends_nobody_and_what_follows_fails(program: Program, box: Path, mode: str) -> None:
    run = begin(program, box, "--isolation", mode)
    remove(box)
    first, second = ended(program, run)
    assert first == "SUCCESS"
    assert second.startswith("cannot enter its directory: ")
    assert f"({box})" in second
    assert not box.exists()


@pytest.mark.parametrize("mode", ["strict", "none"])
def test_a_file_in_place_of_the_sandbox_stays_what_it_is(program: Program, box: Path, mode: str) -> None:
    run = begin(program, box, "--isolation", mode)
    remove(box)
    box.write_text("mine")
    first, second = ended(program, run)
    assert first == "SUCCESS"
    assert second.startswith("cannot enter its directory: ")
    assert box.read_text() == "mine"


@pytest.mark.parametrize("mode", ["strict", "none"])
def test_a_link_in_place_of_the_sandbox_leads_nobody_where_the_tasks_user_may_not_go(
    program: Program, box: Path, mode: str
) -> None:
    run = begin(program, box, "--isolation", mode, "--user", "nobody")
    remove(box)
    roots = box.with_name("of-root")
    roots.mkdir(mode=0o700)
    box.symlink_to(roots)
    first, second = ended(program, run)
    assert first == "SUCCESS"
    assert second.startswith("cannot enter its directory: ")
    assert list(roots.iterdir()) == []


@pytest.mark.parametrize("mode", ["strict", "none"])
def test_a_link_in_place_of_the_logs_leads_nobody_where_the_tasks_user_may_not_write(
    program: Program, box: Path, mode: str
) -> None:
    run = begin(program, box, "--isolation", mode, "--user", "nobody")
    roots = box.with_name("of-root")
    roots.mkdir(mode=0o755)
    remove(box / ".logs")
    (box / ".logs").symlink_to(roots)
    first, second = ended(program, run)
    assert first == "SUCCESS"
    assert second.startswith("cannot open its logs: ")
    assert list(roots.iterdir()) == []
