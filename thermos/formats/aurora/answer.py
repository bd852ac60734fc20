"""What the process that ran a file said of it: any JSON at all, until it has been looked at here."""

from __future__ import annotations

from thermos.formats.document import Place
from thermos.formats.problems import Problem, TaskFileError, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from thermos.config.wording import Path, Value

DEEPEST = 100  # levels
LONGEST_MESSAGE = 2000  # characters
NO_SENSE = "the process that ran it answered something else than a task"


class Answer:
    """A task, as a YAML file would hold it, and what else the file says. No value in them has been checked.

    `place` and `defaults`, the paths of what nobody wrote, are of the task, and below "aside" of what stands aside.
    """

    __slots__ = ("aside", "defaults", "place", "task")

    def __init__(
        self, task: dict[str, Value], aside: dict[str, Value], place: Place, defaults: frozenset[Path] = frozenset()
    ) -> None:
        self.task = task
        self.aside = aside
        self.place = place
        self.defaults = defaults


def checked(file: str, said: Value) -> Answer:
    """Raises TaskFileError with the problems that it names, and where it is no answer."""
    if isinstance(said, dict) and _depth(said) <= DEEPEST:
        if isinstance(why := said.get("unconfined"), str):
            raise unreadable(file, 0, 0, f"it is a program, and this host cannot confine it: {harmless(why)}")
        if isinstance(problems := said.get("problems"), list):
            told = [problem for each in problems if (problem := _problem(each))]
            if told:
                raise TaskFileError(told)
        task, aside, spots = said.get("task"), said.get("aside"), said.get("spots")
        if isinstance(task, dict) and isinstance(aside, dict) and isinstance(spots, list):
            return Answer(task, _encodable_fields(aside), _places(spots), _paths(said.get("defaults")))
    raise TaskFileError([Problem(file, 0, 0, "", f"cannot run the task file: {NO_SENSE}")])


def _problem(said: Value) -> Problem | None:
    if not isinstance(said, list) or len(said) != 5:
        return None
    file, line, column, path, message = said
    if not (isinstance(file, str) and isinstance(path, str) and isinstance(message, str)):
        return None
    if not (isinstance(line, int) and isinstance(column, int) and message.startswith("cannot ")):
        return None
    return Problem(harmless(file), max(line, 0), max(column, 0), harmless(path), harmless(message))


def _places(spots: list[Value]) -> Place:
    """The places of the parts of a task, where they make sense."""
    root = Place(1, 1)
    for path, line, column in sorted(filter(None, map(_spot, spots)), key=lambda spot: len(spot[0])):
        place = root
        for step in path:
            place = place.below.setdefault(step, Place(place.line, place.column))
        place.line, place.column = line, column
    return root


def _spot(said: Value) -> tuple[Path, int, int] | None:
    if not isinstance(said, list) or len(said) != 3:
        return None
    at, line, column = said
    path = _path(at)
    if path is None:
        return None
    if not (isinstance(line, int) and isinstance(column, int) and line > 0 and column > 0):
        return None
    return path, line, column


def _paths(said: Value) -> frozenset[Path]:
    return frozenset(filter(None, map(_path, said))) if isinstance(said, list) else frozenset()


def _path(said: Value) -> Path | None:
    if not isinstance(said, list):
        return None
    steps = tuple(step for step in said if isinstance(step, (str, int)))
    return steps if len(steps) == len(said) else None


def _depth(value: Value) -> int:
    depth = 0
    level = [value]
    while level and depth <= DEEPEST:
        depth += 1
        level = [item for each in level for item in _parts(each)]
    return depth


def _parts(value: Value) -> Iterable[Value]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _encodable(value: Value) -> Value:
    """Without halves of surrogate pairs, which cannot be written anywhere."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return _encodable_fields(value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value


def _encodable_fields(fields: dict[str, Value]) -> dict[str, Value]:
    return {name.encode(errors="replace").decode(): _encodable(item) for name, item in fields.items()}


def harmless(text: str) -> str:
    """One line that does nothing to a terminal."""
    text = text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "..."
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
