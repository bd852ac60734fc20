"""Stories that a program tells from the throw-away machine: name -> facts, with "error" in those that broke off."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from telling import DEADLINE

VM = Path(__file__).parents[1] / "scripts" / "vm"

#: Seconds without a word: a story is over by then, or the machine has broken it off. Else its kernel stands still.
SILENCE = 2 * DEADLINE

Facts = dict[str, Any]
Told = Callable[[str], Facts]


class StoodStill(Exception):
    """The machine said nothing for too long; its text is what it had said."""


def all_told(program: Path, *words: str) -> dict[str, Facts]:
    """What `program WORDS...` tells; see telling.py.

    A story that does not end is broken off inside, by the machine's own clock. Where nobody does that, the kernel of
    user-mode-linux stands still: that is said in a warning, and another machine is asked, once.
    """
    if not shutil.which("linux.uml"):
        pytest.skip("needs linux.uml: apt-get install user-mode-linux")
    try:
        return _told_by_a_machine(program, words)
    except StoodStill as still:
        warnings.warn(f"a machine stood still, {program.name} in it: {still}", stacklevel=2)
    return _told_by_a_machine(program, words)


def tell(program: Path, *words: str) -> Told:
    """Each story by its name."""
    stories = all_told(program, *words)

    def story(name: str) -> Facts:
        assert name in stories, f"only these were told: {', '.join(stories)}"
        assert "error" not in stories[name], stories[name]["error"]
        return stories[name]

    return story


def _told_by_a_machine(program: Path, words: tuple[str, ...]) -> dict[str, Facts]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [str(VM), "--timeout", "1800", "--verbose", "--", sys.executable, str(program), *words]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=complaints) as machine,
        selectors.DefaultSelector() as selector,
    ):
        assert machine.stdout is not None
        selector.register(machine.stdout, selectors.EVENT_READ)
        said = b""
        while selector.select(SILENCE):
            data = os.read(machine.stdout.fileno(), 1 << 16)
            if not data:
                break
            said += data
        else:
            machine.terminate()
            machine.wait()
            complaints.seek(0)
            raise StoodStill(f"{said.decode()[-1000:]}\n{complaints.read().decode(errors='replace')[-3000:]}")
        status = machine.wait()
        complaints.seek(0)
        assert status == 0, complaints.read().decode(errors="replace")
    lines = [json.loads(line) for line in said.splitlines()]
    return {line["story"]: line["facts"] for line in lines}
