"""scripts/diagrams: the README shows what the core does, and the check sees where it does not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 60  # seconds


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of this repository as the script needs, to be changed at will."""
    for folder in ("scripts", "thermos"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def diagrams(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    script = checkout / "scripts" / "diagrams"
    return subprocess.run([script, *words], capture_output=True, text=True, timeout=DEADLINE, check=False)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_the_readme_shows_what_the_core_does() -> None:
    done = diagrams(ROOT, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_move_that_is_not_drawn_is_found_and_drawn(checkout: Path) -> None:
    change(checkout / "thermos/core/state.py", '"CLEANING": ("FINALIZING",)', '"CLEANING": ("FINALIZING", "LOST")')
    before = (checkout / "README.md").read_text()
    done = diagrams(checkout, "--check")
    assert done.returncode == 1
    assert done.stderr.startswith("diagrams: ")
    assert "run scripts/diagrams" in done.stderr
    assert (checkout / "README.md").read_text() == before
    assert diagrams(checkout).returncode == 0
    assert "    CLEANING --> LOST\n" in (checkout / "README.md").read_text()
    assert diagrams(checkout, "--check").returncode == 0


def test_another_meaning_of_a_record_is_found_though_the_tables_are_the_same(checkout: Path) -> None:
    change(checkout / "thermos/core/evolve.py", "        signal.SIGSEGV,\n", "")
    assert diagrams(checkout, "--check").returncode == 1
    assert diagrams(checkout).returncode == 0
    assert "RUNNING --> KILLED : exited (SIGKILL, SIGSEGV, SIGTERM)\n" in (checkout / "README.md").read_text()


def test_nothing_outside_the_markers_is_touched(checkout: Path) -> None:
    readme = checkout / "README.md"
    diagrams(checkout)
    whole = readme.read_text()
    change(readme, "    [*] --> WAITING\n", "")
    change(readme, "# Thermos\n", "# Thermos, by hand\n")
    assert diagrams(checkout).returncode == 0
    assert readme.read_text() == whole.replace("# Thermos\n", "# Thermos, by hand\n", 1)


def test_a_readme_without_its_markers_is_named(checkout: Path) -> None:
    change(checkout / "README.md", "<!-- end of diagrams -->\n", "")
    done = diagrams(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith(f"diagrams: cannot draw into {checkout}/README.md: ")
