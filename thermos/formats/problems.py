"""What is wrong with a task file, as people are told it."""

from __future__ import annotations

from thermos.config.wording import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from thermos.config import Finding

    from .document import Place


MOST_SHOWN = 1000  # problems that are told; a file that has more was not meant as a task file


class Problem:
    """One thing wrong. Lines and columns count from 1; 0 where the problem is the file as a whole.

    `relation`: it is not the shape of the value (see `thermos.config.Finding`).
    """

    __slots__ = ("column", "file", "line", "message", "path", "relation")

    def __init__(self, file: str, line: int, column: int, path: str, message: str, *, relation: bool = False) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.path = path
        self.message = message
        self.relation = relation

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return printable(f"{where}: {self.message}")  # names of files come from the file, too, and go to a terminal


class TaskFileError(Exception):
    """A task file that cannot be used; `problems` file by file in its order, `str()` a line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = list(problems)
        files = {file: number for number, file in enumerate(dict.fromkeys(problem.file for problem in found))}
        self.problems = tuple(sorted(found, key=lambda found: (files[found.file], found.line, found.column)))
        lines = [str(problem) for problem in self.problems[:MOST_SHOWN]]
        if len(self.problems) > MOST_SHOWN:
            lines.append(f"... and {len(self.problems) - MOST_SHOWN} more")
        super().__init__("\n".join(lines))


def unreadable(file: str, line: int, column: int, why: str) -> TaskFileError:
    return TaskFileError([Problem(file, line, column, "", f"cannot read the task file: {why}")])


def found_at(file: str, place: Place, finding: Finding, path: str) -> Problem:
    """A finding as people are told it. `path`: of the value it is about, as the file has it."""
    line, column = place.locate(finding.path, finding.at_key)
    return Problem(file, line, column, path, f"cannot use {path}: {finding.why}", relation=finding.relation)
