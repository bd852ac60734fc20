"""Stories that a program tells from the throw-away machine: name -> facts, with "error" in those that broke off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VM = Path(__file__).parents[1] / "scripts" / "vm"

Facts = dict[str, Any]
Told = Callable[[str], Facts]


def all_told(program: Path, seconds: float) -> dict[str, Facts]:
    """What the program prints, JSON. `seconds`: many times what it takes."""
    if not shutil.which("linux.uml"):
        pytest.skip("needs linux.uml: apt-get install user-mode-linux")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [str(VM), "--timeout", str(seconds), "--", sys.executable, str(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60, check=False)
    assert done.returncode == 0, done.stderr
    stories: dict[str, Facts] = json.loads(done.stdout)
    return stories


def tell(program: Path, seconds: float) -> Told:
    """Each story by its name."""
    stories = all_told(program, seconds)

    def story(name: str) -> Facts:
        assert "error" not in stories[name], stories[name]["error"]
        return stories[name]

    return story
