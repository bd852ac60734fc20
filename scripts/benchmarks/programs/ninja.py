"""ninja: a graph of commands with nothing between them: no sandbox, no journal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

NAME, PACKAGE = "ninja", "ninja-build"

#: Commands at a time: what ninja takes by itself on two processors and more.
AT_ONCE = (os.cpu_count() or 1) + 2


def chain(directory: Path, length: int) -> list[str]:
    """A chain of `true`, each after the one before. Returns the command line that runs all of it, each time anew."""
    names = [f"step-{number}" for number in range(length)]
    return graph(directory, {name: names[max(number - 1, 0) : number] for number, name in enumerate(names)})


def graph(directory: Path, order: Mapping[str, Sequence[str]], at_once: int = AT_ONCE) -> list[str]:
    """A `true` for each name, after those it is given with. Returns the command line, as above."""
    path = directory / f"{len(order)}.ninja"
    builds = "".join(f"build {name}: true {' '.join(after)}\n" for name, after in order.items())
    path.write_text(f"builddir = {directory}\nrule true\n command = true\n{builds}")
    return [NAME, "-C", str(directory), "-f", str(path), "-j", str(at_once)]
