"""Where a part of an expanded task was written: worked out when somebody asks, from what `Expansion` remembers."""

from __future__ import annotations

from .expansion import BY_KEY, JOINED, merges
from .matrix import copy_text
from .wording import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .expansion import Entry, Expansion, Row
    from .matrix import Combination
    from .wording import Path, Value


_JOINED = tuple((name,) for name in JOINED)


class Source:
    """A value by its file (`layer`, a place among the expansion's) and its path there.

    `entry`: it is a line of an env file instead. `defaults`: it is there for every process. `copy`: the values of the
    matrix, for a part of a process that has one.
    """

    __slots__ = ("copy", "defaults", "entry", "layer", "path")

    def __init__(
        self,
        layer: int,
        path: Path,
        *,
        copy: Combination | None = None,
        defaults: bool = False,
        entry: Entry | None = None,
    ) -> None:
        self.layer = layer
        self.path = path
        self.copy = copy
        self.defaults = defaults
        self.entry = entry

    @property
    def text(self) -> str:
        """The path for people: `processes[2] (shard=3).max_failures`."""
        if not self.copy:
            return path_text(self.path)
        rest = path_text(self.path[2:]) if len(self.path) > 2 else ""
        return f"{path_text(self.path[:2])} ({copy_text(self.copy)}){'.' if rest else ''}{rest}"


def trace(expansion: Expansion, path: Path) -> Source:
    """The source of what is at `path`, or would be."""
    top = len(expansion.layers) - 1
    if len(path) > 1 and path[0] == "processes" and isinstance(path[1], int):
        return _of_process(expansion, expansion.rows[path[1]], path[2:])
    if len(path) > 1 and path[0] == "constraints" and isinstance(path[1], int):
        return _of_constraint(expansion, path)
    for number in range(top, -1, -1):
        layer = expansion.layers[number]
        if path in _JOINED and _wrong_beneath(expansion, number, path):
            continue
        if path[:1] == ("env",) and len(path) > 1 and not _says(layer.value, path):
            entry = layer.env.get(str(path[1]))
            if entry is not None:
                return Source(number, path, entry=entry)
        if path and _says(layer.value, path):
            return Source(number, path)
    return Source(top, path)


def _wrong_beneath(expansion: Expansion, number: int, path: Path) -> bool:
    """Whether a layer has a list at `path` and one beneath it something else: that is what is meant then."""
    name = str(path[0])
    right = isinstance(expansion.layers[number].value.get(name), list)
    return right and any(not isinstance(layer.value.get(name, []), list) for layer in expansion.layers[:number])


def _says(value: Value, path: Path) -> bool:
    """Whether a file's own value decides on `path`: has it, or has what replaces everything there."""
    for depth, step in enumerate(path):
        if not isinstance(value, dict):
            return True
        if step not in value:
            return False
        value = value[str(step)]
        if not merges(path[: depth + 1]):
            return True
    return True


def _of_process(expansion: Expansion, row: Row, rest: Path) -> Source:
    written: Path = ("processes", row.index)
    layer = expansion.layers[row.layer]
    processes = layer.value["processes"]
    process = processes[row.index] if isinstance(processes, list) else None
    own = Source(row.layer, (*written, *rest), copy=row.copy)
    if not rest or not isinstance(process, dict):
        return own
    field, name = rest[0], rest[1] if len(rest) > 1 else None
    if field == "after" and name is not None and row.steps is not None and name in row.steps:
        rest = ("after", *row.steps[name], *rest[2:])
        own = Source(row.layer, (*written, *rest), copy=row.copy)
    by_key = field in BY_KEY and name is not None
    mine = process.get(str(field))
    if field == "env" and len(rest) > 1 and not (isinstance(mine, dict) and name in mine):
        entry = layer.process_env.get(row.index, {}).get(str(name))
        if entry is not None:
            return Source(row.layer, own.path, entry=entry, copy=row.copy)
    if field in process and not (by_key and isinstance(mine, dict) and name not in mine):
        return own
    defaults = expansion.defaults
    if isinstance(defaults, dict) and field in defaults:
        given = defaults[str(field)]
        if not (by_key and isinstance(given, dict) and name not in given):
            of = trace(expansion, ("defaults", *rest))
            return Source(of.layer, of.path, defaults=True)
    return own


def _of_constraint(expansion: Expansion, path: Path) -> Source:
    number = path[1]
    assert isinstance(number, int)
    layer, index, places = expansion.orders[number]
    rest = path[2:]
    if places and len(rest) == 2 and isinstance(rest[1], int):
        rest = (rest[0], places[rest[1]])
    return Source(layer, ("constraints", index, *rest))
