"""ninja: a graph of commands with nothing between them: no sandbox, no journal."""

from __future__ import annotations

from pathlib import Path

NAME, PACKAGE = "ninja", "ninja-build"


def chain(directory: Path, length: int) -> list[str]:
    """A chain of `true`, each after the one before. Returns the command line that runs all of it, each time anew."""
    steps = "".join(f"build step-{n}: step{f' step-{n - 1}' if n else ''}\n" for n in range(length))
    path = directory / f"chain-{length}.ninja"
    path.write_text(f"builddir = {directory}\nrule step\n command = true\n{steps}")
    return [NAME, "-C", str(directory), "-f", str(path)]
