"""The frame: two readers of one table, and what is said when things go wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thermos.cli import COMMANDS, by_click, load, main, quick

if TYPE_CHECKING:
    from thermos.cli.kind import Command

#: For every command: lines that the quick reader must read, as click does.
GOOD = [
    "run task.yaml",
    "run -",
    "run -- -task.yaml",
    "run --task-id a --bind X=1 task.yaml --bind=Y=2=3 --port http=80 --isolation none --detach --json",
    "run --instance 3 --user nobody --sandbox /s --preserve-env --isolation=best-effort --root /r f",
    "run --task-id= f",
    "resume a",
    "resume --all --json",
    "status",
    "status a b --json",
    "status --root r a",
    "wait a --json",
    "kill a b c",
    "kill --wait 1.5 a",
    "kill --wait 2m --now --no-wait a",
    "kill --wait=500ms a",
    "signal a web TERM",
    "signal a web 15 --root /r",
    "tail a",
    "tail -f -n 3 a web db",
    "tail a --lines=0 --stdout --run 2",
    "tail a --stderr --follow --json -- -web",
    "read a -f --json",
    "read --follow a",
    "why a",
    "why a web --json",
    "validate a b --strict --json",
    "inspect a --all --show-secrets --job c/r/e/n",
    "graph a --format svg --output b --durations x=1 --durations y=2",
    "simulate a --fail x=2@3 --kill @5 --until 2h --why",
    "schema",
    "pause a",
    "unpause a --root /r",
    "update a --ram 1GiB --cpu-weight=50 --process p --json",
    "doctor --missing --json",
]

#: Lines that are wrong, or that take knowing more: the quick reader must leave them to click.
LEFT = [
    "run",
    "run --help",
    "run a b",
    "run --frob a",
    "run --isolation loose a",
    "run --instance -1 a",
    "run --instance ２ a",
    "run --task-id",
    "run --task-id --json a",
    "run --json=1 a",
    "run --det a",
    "status -h",
    "wait",
    "kill",
    "kill --wait soon a",
    "kill --wait 1.2.3 a",
    "signal a web",
    "tail -fn3 a",
    "tail -n3 a",
    "tail -n=3 a",
    "tail -n -1 a",
    "read a b",
    "pause",
    "unpause a b",
    "update --ram",
    "update a --json=1",
    "doctor a",
]


def readings(line: str) -> tuple[Command, dict[str, Any] | None]:
    name, *words = line.split()
    command = load(name)
    return command, quick.read(command, words)


def test_every_command_has_lines_here() -> None:
    assert {line.split()[0] for line in GOOD} == set(COMMANDS)


@pytest.mark.parametrize("line", GOOD)
def test_both_readers_agree(line: str) -> None:
    command, given = readings(line)
    assert given is not None
    assert by_click.read(line.split()) == (command, given)


@pytest.mark.parametrize("line", LEFT)
def test_the_quick_reader_leaves_the_rest_to_click(line: str) -> None:
    assert readings(line)[1] is None


@pytest.mark.parametrize(("text", "seconds"), [("30", 30.0), ("1.5s", 1.5), ("250ms", 0.25), ("2m", 120), ("1h", 3600)])
def test_seconds_have_units(text: str, seconds: float) -> None:
    assert readings(f"kill --wait {text} a")[1] == {
        "wait": seconds, "now": False, "no_wait": False, "json": False, "root": None, "task_id": ("a",)
    }  # fmt: skip


def imported_by(program: str) -> set[str]:
    """The modules a program imports in a fresh interpreter, beyond what that has anyway."""
    whole = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
before = set(sys.modules)
{program}
print(*sorted(set(sys.modules) - before))
"""
    # -S: what site brings along (.pth files of other packages) is not ours.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", whole], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_frame_imports_nothing_but_its_own_light_modules() -> None:
    assert imported_by("from thermos.cli import main") == {
        "__future__",
        "thermos",
        "thermos.paths",
        "thermos.cli",
        "thermos.cli.kind",
        "thermos.cli.quick",
        "thermos.cli.statuses",
    }


def test_reading_run_quickly_imports_nothing_heavy() -> None:
    imported = imported_by("""
from thermos.cli import load, quick
assert quick.read(load("run"), "task.yaml --task-id a --port http=80 --isolation none".split()) is not None
""")
    assert "thermos.cli.run" in imported
    assert not imported & {"click", "msgspec", "yaml", "rich", "typing", "dataclasses", "subprocess", "asyncio"}


def test_the_version_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out.startswith("thermos 0.")


@pytest.mark.parametrize("words", [["help"], ["--help"], ["-h"]])
def test_help_lists_every_command(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out = capfd.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_its_options(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help", name]) == 0
    out = capfd.readouterr().out
    assert f"Usage: thermos {name}" in out
    assert all(f"--{option.name}" in out for option in load(name).OPTIONS)
    assert all(argument.help in " ".join(out.split()) for argument in load(name).ARGUMENTS)


@pytest.mark.parametrize("words", [["stauts"], ["help", "stauts"]])
def test_an_unknown_command_is_wrong_usage_and_the_nearest_is_named(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert (out, "Did you mean status?" in err) == ("", True)


@pytest.mark.parametrize("line", ["run", "wait", "status --frob", "kill --wait soon a", "tail -n x a", ""])
def test_wrong_usage_is_exit_status_2_with_nothing_on_stdout(line: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    out, err = capfd.readouterr()
    assert (out, "Usage:" in err) == ("", True)


def test_a_bug_is_one_line_and_a_traceback_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(given: dict[str, Any]) -> int:
        raise KeyError("x")

    monkeypatch.setattr(load("wait"), "run", broken)
    monkeypatch.delenv("THERMOS_DEBUG", raising=False)
    assert main(["wait", "a"]) == 70
    assert capfd.readouterr().err == "this is a bug in thermos: KeyError: 'x' (THERMOS_DEBUG=1 shows where)\n"
    monkeypatch.setenv("THERMOS_DEBUG", "1")
    assert main(["wait", "a"]) == 70
    assert "Traceback" in capfd.readouterr().err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    program = "import sys; from thermos.cli import main; sys.stdin.readline(); sys.exit(main())"
    child = subprocess.Popen(
        [sys.executable, "-c", program, "status", "--json", "--root", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin
    assert child.stdout
    assert child.stderr
    child.stdout.close()
    child.stdin.write(b"go\n")
    child.stdin.close()
    assert (child.wait(30), child.stderr.read()) == (141, b"")
    child.stderr.close()


def test_output_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    program = "import sys; from thermos.cli import main; sys.exit(main())"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", program, "status", "--json", "--root", str(tmp_path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (1, "cannot go on: No space left on device\n")
