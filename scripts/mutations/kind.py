"""What a mutation is, how it is written down, and how one is carried out.

In the texts beside this file, one after another:

    == FILE, from the repository's root; holds for all that follow
    NAME: what no longer holds, in a few words
    - TEXT that is in FILE exactly once; several lines, or a part of one
    + TEXT in its place; none where it is left out
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class CannotMutate(Exception):
    """A mutation is not written down as it should be, or no longer fits the code."""


@dataclass
class Mutation:
    """`place` is where it is written down."""

    name: str
    breaks: str
    file: str
    place: str
    old: str = ""
    new: str = ""

    def mutated(self, root: Path) -> str:
        """The file's text with the mutation in it. Raises CannotMutate."""
        path = root / self.file
        if not path.is_file():
            raise CannotMutate(f"cannot apply {self.name} ({self.place}): there is no {self.file}")
        text = path.read_text()
        times = text.count(self.old) if self.old else 0
        if times != 1:
            found = f"{self.old!r} is {times} times in {self.file}, not once"
            raise CannotMutate(f"cannot apply {self.name} ({self.place}): {found}; correct it there")
        changed = text.replace(self.old, self.new)
        try:
            compile(changed, self.file, "exec")
        except SyntaxError as error:
            raise CannotMutate(f"cannot apply {self.name} ({self.place}): it is no Python: {error}") from None
        return changed


def mutations_in(path: Path) -> Iterator[Mutation]:
    """Raises CannotMutate with the line that means nothing."""
    file, mutation = "", None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        place = f"{path.name}, line {number}"
        if line.startswith("== "):
            file = line[3:]
        elif mutation and line.startswith("- "):
            mutation.old += "\n" * bool(mutation.old) + line[2:]
        elif mutation and line.startswith("+ "):
            mutation.new += "\n" * bool(mutation.new) + line[2:]
        elif found := re.fullmatch(r"([\w-]+): (.+)", line):
            if mutation:
                yield mutation
            mutation = Mutation(found[1], found[2], file, place)
        elif line:
            raise CannotMutate(f"cannot understand {line!r} ({place})")
    if mutation:
        yield mutation
