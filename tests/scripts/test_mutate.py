"""scripts/mutate: a survivor is named, and nothing counts as killed that was not killed by a test that ran."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 120  # seconds

CORE = "LIMIT = 3\n\n\ndef full(count: int) -> bool:\n    return count >= LIMIT\n"
TEST = "from thermos.core.room import full\n\ndef test_three_are_enough():\n    assert full(4)\n    assert full(3)\n"
OFF_BY_ONE = "off-by-one: one more has room\n- >=\n+ >\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a core of one function and one test."""
    ignored = shutil.ignore_patterns("__pycache__", "*.txt")
    shutil.copytree(ROOT / "scripts" / "mutations", tmp_path / "scripts" / "mutations", ignore=ignored)
    shutil.copy(ROOT / "scripts" / "mutate", tmp_path / "scripts")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    for folder in ("scenarios", "core", "checkpoint", "properties"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
    (tmp_path / "thermos" / "core").mkdir(parents=True)
    (tmp_path / "thermos" / "__init__.py").touch()
    (tmp_path / "thermos" / "core" / "room.py").write_text(CORE)
    (tmp_path / "tests" / "core" / "test_room.py").write_text(TEST)
    return tmp_path


def mutate(checkout: Path, mutations: str, *words: str) -> subprocess.CompletedProcess[str]:
    (checkout / "scripts" / "mutations" / "room.txt").write_text(f"== thermos/core/room.py\n\n{mutations}")
    command = [checkout / "scripts" / "mutate", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (checkout / "thermos" / "core" / "room.py").read_text() == CORE
    return done


def test_every_mutation_fits_the_code_as_it_is() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "mutate", "--list"], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 200


def test_a_mutation_that_a_test_notices_is_killed_and_the_test_is_named(checkout: Path) -> None:
    done = mutate(checkout, OFF_BY_ONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/core/test_room.py::test_three_are_enough" in done.stdout
    assert "1 of 1 killed" in done.stdout


def test_a_survivor_is_named_with_its_file_and_what_it_breaks(checkout: Path) -> None:
    done = mutate(checkout, OFF_BY_ONE + "\nlower: two are enough\n- LIMIT = 3\n+ LIMIT = 2\n")
    assert done.returncode == 1
    assert done.stderr == "mutate: survived: lower, thermos/core/room.py: two are enough\n"


def test_only_what_is_named_is_tried(checkout: Path) -> None:
    two = OFF_BY_ONE + "\nlower: two are enough\n- LIMIT = 3\n+ LIMIT = 2\n"
    assert mutate(checkout, two, "--only", "off-by-one", "--jobs", "1").returncode == 0
    done = mutate(checkout, two, "--only", "higher")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mutate: cannot find higher: ")


@pytest.mark.parametrize(
    ("new", "why"), [("raise ImportError", "pytest could not run the tests"), ("pass", "it is no working program")]
)
def test_what_cannot_work_at_all_is_not_killed(checkout: Path, new: str, why: str) -> None:
    done = mutate(checkout, f"broken: everything\n- LIMIT = 3\n+ {new}\n")
    assert done.returncode == 1
    assert why in done.stderr


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        ("gone: nothing\n- LIMIT = 4\n+ LIMIT = 3\n", "'LIMIT = 4' is 0 times in thermos/core/room.py, not once"),
        ("twice: nothing\n- LIMIT\n+ MOST\n", "'LIMIT' is 2 times in thermos/core/room.py, not once"),
        ("empty: nothing\n", "'' is 0 times in thermos/core/room.py, not once"),
        ("no-python: nothing\n- >= LIMIT\n+ >= \n", "it is no Python: "),
        ("what is this\n", "cannot understand 'what is this' (room.txt, line 3)"),
        (OFF_BY_ONE + OFF_BY_ONE, "two mutations off-by-one: room.txt, line 3; room.txt, line 6"),
    ],
)
def test_a_mutation_that_does_not_fit_is_named_and_nothing_is_tried(checkout: Path, mutation: str, why: str) -> None:
    for words in ((), ("--list",)):
        done = mutate(checkout, mutation, *words)
        assert done.returncode == 2
        assert done.stderr.startswith("mutate: cannot ")
        assert why in done.stderr
        assert "the tests pass" not in done.stdout


def test_tests_that_fail_without_any_mutation_kill_nobody(checkout: Path) -> None:
    (checkout / "tests" / "core" / "test_room.py").write_text(TEST.replace("full(3)", "full(2)"))
    done = mutate(checkout, OFF_BY_ONE)
    assert done.returncode == 2
    assert "they fail without any mutation: tests/core/test_room.py::test_three_are_enough" in done.stderr


def test_a_run_that_spoils_the_copy_for_the_next_one_is_not_believed(checkout: Path) -> None:
    spoiling = TEST + "    assert not open('count', 'a+').tell()\n    open('count', 'w').write('x' * full(2))\n"
    (checkout / "tests" / "core" / "test_room.py").write_text(spoiling)
    done = mutate(checkout, "lower: two are enough\n- LIMIT = 3\n+ LIMIT = 2\n")
    assert done.returncode == 2
    assert "the copies are not as they were" in done.stderr
