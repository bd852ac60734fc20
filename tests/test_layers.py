"""What import-linter cannot see: which functions are called, not only which modules are imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Whatever starts a process, signals one, or runs text as a program.
FORBIDDEN = re.compile(
    r"os\.(kill|killpg|fork|forkpty|system|popen|posix_spawnp?|spawn\w+|exec\w+|abort|_exit)"
    r"|posix\..*|signal\..*|_signal\..*|subprocess\..*|multiprocessing\..*|pty\..*"
    r"|eval|exec|compile|__import__|importlib\..*|builtins\..*"
)
#: The names of signals, which are only numbers.
CONSTANT = re.compile(r"signal\.(SIG[A-Z0-9]+|Signals)(\..*)?")


def used(source: str) -> Iterator[str]:
    """Every name a file uses, with imported ones spelled out: `from os import kill as k; k()` gives `os.kill`."""
    tree = ast.parse(source)
    meaning: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.split(".")[0]
                meaning[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for name in node.names:
                meaning[name.asname or name.name] = f"{node.module}.{name.name}"
                yield f"{node.module}.{name.name}"
    for node in ast.walk(tree):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            yield ".".join([meaning.get(node.id, node.id), *parts])


def forbidden_in(source: str) -> set[str]:
    return {name for name in used(source) if FORBIDDEN.fullmatch(name) and not CONSTANT.fullmatch(name)}


def files_of(*packages: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for package in packages for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", files_of("observer", "thermos/core", "thermos/rehearsal", "thermos/drawing"))
def test_observer_and_core_start_nothing_signal_nothing_and_run_no_text(path: str) -> None:
    assert forbidden_in((ROOT / path).read_text()) == set()


@pytest.mark.parametrize("path", files_of("observer"))
def test_the_observer_does_not_even_name_signals(path: str) -> None:
    assert [name for name in used((ROOT / path).read_text()) if name.startswith("signal.")] == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import os\nos.kill(1, 9)", "os.kill"),
        ("import os as o\no.fork()", "os.fork"),
        ("from os import system as s\ns('true')", "os.system"),
        ("import os\nstart = os.posix_spawn", "os.posix_spawn"),
        ("import os\nos.execve('/bin/true', [], {})", "os.execve"),
        ("import signal\nsignal.pidfd_send_signal(3, signal.SIGTERM)", "signal.pidfd_send_signal"),
        ("from signal import raise_signal", "signal.raise_signal"),
        ("def f():\n    import subprocess\n    subprocess.run(['true'])", "subprocess.run"),
        ("from subprocess import Popen", "subprocess.Popen"),
        ("eval('1')", "eval"),
    ],
)
def test_the_forbidden_is_found_however_it_is_spelled(source: str, name: str) -> None:
    assert forbidden_in(source) == {name}


@pytest.mark.parametrize(
    "source",
    [
        "import signal\nsignal.SIGTERM",
        "import signal\nsignal.Signals(9).name",
        "import os\nos.open('x', 0)",
        "import re\nre.compile('x')",
    ],
)
def test_what_is_harmless_is_let_through(source: str) -> None:
    assert forbidden_in(source) == set()


def test_the_map_in_the_readme_shows_every_file_and_no_other() -> None:
    drawn = (ROOT / "README.md").read_text().split("## Map of the code")[1]
    files = {Path(path).name for path in files_of("sandbox", "thermos", "observer")} - {"__init__.py"}
    assert set(re.findall(r"\w+\.py\b", drawn)) - {"test_layers.py"} == files
