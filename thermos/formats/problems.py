"""What is wrong with a task file, as people are told it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Problem:
    """One thing wrong. Lines and columns count from 1; 0 where the problem is the file as a whole."""

    __slots__ = ("column", "file", "line", "message", "path")

    def __init__(self, file: str, line: int, column: int, path: str, message: str) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.path = path
        self.message = message

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.message}"


class TaskFileError(Exception):
    """A task file that cannot be used; `problems` in the order of the file, `str()` one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        super().__init__("\n".join(map(str, self.problems)))


def unreadable(file: str, line: int, column: int, why: str) -> TaskFileError:
    return TaskFileError([Problem(file, line, column, "", f"cannot read the task file: {why}")])
