"""A program that cannot be executed: its process failed, which counts, it says why, and the others go on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from deadline import until
from real_program import RAN, Program

from thermos.core import records as r

#: What cannot be executed, and what is said about it.
WHY = {
    "missing": (["./missing"], "cannot execute ./missing: No such file or directory"),
    "nowhere": (["no-such-program"], "cannot execute no-such-program: No such file or directory"),
    "orphan": (["./orphan"], "cannot execute ./orphan: the interpreter it asks for does not exist"),
    "closed": (["./closed"], "cannot execute ./closed: Permission denied"),
    "text": (["./text"], "cannot execute ./text: Exec format error"),
    "directory": (["./directory"], "cannot execute ./directory: Permission denied"),
    "ring": (["./ring"], "cannot execute ./ring: Too many levels of symbolic links"),
    "beneath": (["./text/beneath"], "cannot execute ./text/beneath: Not a directory"),
    "wordy": (["/bin/true", *["x" * 100_000] * 30], "cannot execute /bin/true: Argument list too long"),
}


def write_program(path: Path, text: str, mode: int = 0o755) -> None:
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def box(program: Program) -> Path:
    """A sandbox with some of that in it."""
    box = program.base / "box"
    box.mkdir()
    write_program(box / "orphan", "#!/no/such/interpreter\n")
    write_program(box / "closed", "#!/bin/sh\n", 0o644)
    write_program(box / "text", "not a program\n")
    (box / "directory").mkdir()
    (box / "ring").symlink_to("ring")
    return box


@pytest.mark.parametrize("mode", [pytest.param("strict", marks=pytest.mark.root), "none"])
def test_what_cannot_be_executed_failed_and_says_why(program: Program, box: Path, mode: str) -> None:
    processes = [{"name": name, "argv": argv} for name, (argv, _) in WHY.items()]
    run = program.begin(
        [*processes, {"name": "sound", "cmdline": RAN}], "--sandbox", str(box), "--isolation", mode, max_failures=0
    )
    assert run.wait() == 0
    told = program.runs()
    assert [run["state"] for run in told.pop("sound")] == ["SUCCESS"]
    assert {name: [run["exit"]["cause"] for run in runs] for name, runs in told.items()} == {
        name: [why] for name, (_, why) in WHY.items()
    }
    assert {process["name"]: process["failures"] for process in program.status()["processes"]} == {
        **dict.fromkeys(WHY, 1),
        "sound": 0,
    }
    assert (box / "ran").read_text() == "sound 0\n"


def test_a_program_that_is_still_being_written_is_tried_again(program: Program) -> None:
    box = program.base / "box"
    box.mkdir()
    shutil.copy("/bin/true", box / "busy")
    writer = os.open(box / "busy", os.O_WRONLY)
    run = program.begin(
        [{"name": "p", "argv": ["./busy"], "max_failures": 0, "min_duration": 0}],
        *("--sandbox", str(box), "--isolation", "none"),
    )
    until(lambda: any(isinstance(record, r.Refused) for record in program.records()), "it was not refused")
    os.close(writer)
    assert run.wait() == 0
    *refused, last = program.runs()["p"]
    assert {run["exit"]["cause"] for run in refused} == {"cannot execute ./busy: Text file busy"}
    assert last["state"] == "SUCCESS"
