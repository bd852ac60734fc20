"""What a file says in few words, spelled out: includes merged, defaults given to each process, matrices multiplied.

Works on the plain values of files, before any of it is checked: `expand` makes one value of them, and remembers just
enough that every part of that can be traced to where it was written (see `provenance`). A file that has no `include`,
`defaults`, `env_file` or `matrix` never comes here.

Of the file and what it includes, each lies over those it includes, a later one over an earlier one. What is written
over something replaces it, but for the mappings of `merges`, whose fields are taken one by one, and for processes and
constraints, which are joined, those beneath first. What an env file says lies directly beneath the `env` next to it.
"""

from __future__ import annotations

from itertools import pairwise

from .kinds import Name
from .matrix import MOST_COPIES, axes_in, combinations, copy_text, filled
from .reading import UNKNOWN, Reading, did_you_mean
from .schema import DEFAULTS
from .wording import shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .kinds import Verbatim
    from .matrix import Combination
    from .wording import Path, Value

NAME = Name()
MOST_WAITS = 100_000  # names that references to all copies may come to
JOINED = ("processes", "constraints")
GONE = ("include", "defaults", "env_file")  # fields of a task that are spelled out
BY_KEY = ("env", "resources")  # fields of a process that are taken from `defaults` one by one
ONE_COMMAND = {"cmdline": "argv", "argv": "cmdline"}  # giving one is not wanting the other


class Entry:
    """What an env file says of one variable."""

    __slots__ = ("column", "file", "line", "value")

    def __init__(self, value: Verbatim, file: str, line: int, column: int) -> None:
        self.value = value
        self.file = file
        self.line = line
        self.column = column


class Layer:
    """One file's say. `env` and `process_env` (by place in its list) are its env files', already read.

    `reading` takes what is found wrong before the layers are one; its paths are the file's own.
    """

    __slots__ = ("env", "file", "process_env", "reading", "value")

    def __init__(self, file: str, value: dict[str, Value], bindings: Mapping[str, str]) -> None:
        self.file = file
        self.value = value
        self.env: dict[str, Entry] = {}
        self.process_env: dict[int, dict[str, Entry]] = {}
        self.reading = Reading(bindings, complete=True)


class Row:
    """Where one process of the expanded task comes from.

    `copy`: its values of the matrix; None where there is none. `broken`: its matrix is wrong, so that nobody knows.
    `steps`: of an `after` that was spelled out, for each of its names the rest of the path where it was written.
    """

    __slots__ = ("broken", "copy", "index", "layer", "steps")

    def __init__(self, layer: int, index: int, copy: Combination | None = None, *, broken: bool = False) -> None:
        self.layer = layer
        self.index = index
        self.copy = copy
        self.broken = broken
        self.steps: dict[str | int, Path] | None = None


class Group:
    """The copies of a process, by the name as it is written."""

    __slots__ = ("_found", "axes", "copies", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.axes = axes_in(name)
        self.copies: list[tuple[Combination, str]] = []
        self._found: dict[tuple[str, ...], dict[tuple[str, ...], list[str]]] = {}

    def names(self, asking: Combination) -> list[str]:
        """Those copies whose name agrees with the copy that asks, in the axes that both have."""
        shared = tuple(sorted(axis for axis in self.axes if axis in asking))
        found = self._found.get(shared)
        if found is None:
            found = self._found[shared] = {}
            for copy, name in self.copies:
                found.setdefault(tuple(copy[axis] for axis in shared), []).append(name)
        return found.get(tuple(asking[axis] for axis in shared), [])


class Expansion:
    """`value`: the task spelled out. `layers`: lowest first, the file itself last.

    `rows` and `orders` say for each process and each constraint where it was written; an order has besides its layer
    and place the places of its names, or None where they are as written.
    """

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers
        self.value: dict[str, Value] = {}
        self.defaults: Value = None
        self.rows: list[Row] = []
        self.orders: list[tuple[int, int, tuple[int, ...] | None]] = []
        self.groups: dict[str, Group] = {}
        self._waits = 0
        self._bound: tuple[int, Mapping[str, str], Mapping[str, str]] = (-1, {}, {})

    def bindings(self, path: Path, bindings: Mapping[str, str]) -> Mapping[str, str]:
        """What the templates of the value at `path` may name."""
        number = path[1] if len(path) > 1 and path[0] == "processes" else None
        copy = self.rows[number].copy if isinstance(number, int) else None
        if copy is None or not isinstance(number, int):
            return bindings
        if self._bound[0] != number or self._bound[1] is not bindings:
            mine = {f"matrix.{axis}": value for axis, value in copy.items()}
            self._bound = (number, bindings, {**bindings, **mine})
        return self._bound[2]

    def no_axis(self, name: str, path: Path) -> str:
        """Why a template names no axis at `path`; nothing where that cannot be known."""
        if path[0] == "defaults":
            return ""
        here = "write a name as the process itself does, and it stands for all copies"
        number = path[1] if len(path) > 1 and path[0] == "processes" else None
        if not isinstance(number, int):
            return here
        row = self.rows[number]
        if row.broken:
            return ""
        if row.copy is None:
            return f"the process has no 'matrix'; in 'after' {here}"
        known = [f"matrix.{axis}" for axis in row.copy]
        return f"the matrix has {', '.join(row.copy)}{did_you_mean(name, known)}"

    def shown(self, path: Path, beside: Path) -> str:
        """A path as the file has it, with the name of that file unless `beside` is of the same one."""
        from .provenance import trace

        source = trace(self, path)
        same = source.layer == trace(self, beside).layer
        return source.text if same else f"{source.text} of {self.layers[source.layer].file}"

    def check(self, reading: Reading) -> None:
        """What is wrong with the defaults by themselves, whether or not any process takes them."""
        if self.defaults is not None:
            alone = Reading(reading.bindings, complete=reading.complete, expansion=self)
            DEFAULTS.read(self.defaults, ("defaults",), alone)
            reading.findings += alone.findings

    # Making it.

    def multiply(self, layer: int, index: int, written: Value, room: int) -> Iterator[tuple[Row, Value]]:
        """The processes that one process of a file comes to, each with its row. `room`: copies that may still come."""
        if not isinstance(written, dict):
            yield Row(layer, index), written
            return
        fields = self._with_defaults(self.layers[layer], index, written)
        if "matrix" not in fields:
            yield Row(layer, index), fields
            return
        matrix = fields.pop("matrix")
        reading = self.layers[layer].reading
        path = ("processes", index)
        if matrix is None:
            yield Row(layer, index), fields
            return
        read = combinations(matrix, (*path, "matrix"), reading)
        copies: list[Combination] = [] if read is UNKNOWN else read
        if len(copies) > room:
            why = f"with it the matrices make more than {MOST_COPIES} copies"
            reading.refuse((*path, "matrix"), why, relation=True)
            copies = []
        if not copies:
            yield Row(layer, index, broken=True), fields
            return
        name = fields.get("name")
        if isinstance(name, str) and _may_be_called(name):
            fields["name"] = self._name(name, copies, (*path, "name"), reading)
        for copy in copies:
            yield Row(layer, index, copy), fields.copy()

    def _name(self, name: str, copies: list[Combination], path: Path, reading: Reading) -> str:
        """The name with what tells the copies apart."""
        longer = name + "".join(f"-{{{{matrix.{axis}}}}}" for axis in copies[0])
        mentioned = axes_in(name)
        template = name if mentioned else longer
        names = [filled(template, copy) for copy in copies]
        if len(set(names)) < len(names) and mentioned <= copies[0].keys():
            missing = " or ".join(f"{{{{matrix.{axis}}}}}" for axis in copies[0] if axis not in mentioned)
            reading.refuse(path, f"two copies would have the same name; put {missing} into it", relation=True)
            template = longer
            names = [filled(template, copy) for copy in copies]
        for written in {name, template}:  # either is how the process itself is called
            group = self.groups.setdefault(written, Group(written))
            group.copies += zip(copies, names, strict=True)
        return template

    def _with_defaults(self, layer: Layer, index: int, written: dict[str, Value]) -> dict[str, Value]:
        fields = {name: value for name, value in written.items() if name != "env_file"}
        defaults = self.defaults if isinstance(self.defaults, dict) else {}
        for name, value in defaults.items():
            if name in fields:
                mine = fields[name]
                if name in BY_KEY and isinstance(mine, dict) and isinstance(value, dict):
                    fields[name] = {**value, **mine}
            elif value is not None and name in DEFAULTS.fields and ONE_COMMAND.get(name) not in fields:
                fields[name] = value
        entries = layer.process_env.get(index)
        if entries:
            beneath = fields.get("env") if "env" not in written else defaults.get("env")
            mine = written.get("env")
            if mine is None or isinstance(mine, dict):
                fields["env"] = {
                    **(beneath if isinstance(beneath, dict) else {}),
                    **{name: entry.value for name, entry in entries.items()},
                    **(mine or {}),
                }
        return fields

    def spell_out(self, row: Row, process: dict[str, Value]) -> None:
        """Put the names of copies for the name of a matrix in a process's `after`."""
        after = process.get("after")
        steps: dict[str | int, Path] = {}
        written = ("processes", row.index, "after")
        copy = row.copy or {}
        found: list[str] | None
        if isinstance(after, dict):
            named: dict[str, Value] = {}
            for name, condition in after.items():
                found = self._copies(name, copy, row.layer, (*written, name))
                for one in (name,) if found is None else found:
                    named[one] = condition
                    steps[one] = (name,)
            process["after"] = named
        elif isinstance(after, (str, list)):
            names: list[Value] = []
            for place, waited in enumerate(after if isinstance(after, list) else [after]):
                tail: Path = (place,) if isinstance(after, list) else ()
                found = self._copies(waited, copy, row.layer, (*written, *tail)) if isinstance(waited, str) else None
                for each in (waited,) if found is None else found:
                    steps[len(names)] = tail
                    names.append(each)
            process["after"] = names
        row.steps = steps

    def _copies(self, name: str, asking: Combination, layer: int, path: Path) -> list[str] | None:
        """The copies that a name stands for; None where it is not written as the name of a process with a matrix."""
        group = self.groups.get(name)
        if group is None or (group.axes and group.axes <= asking.keys()):
            return None  # or all its values are those of the copy that asks: its template says which one is meant
        reading = self.layers[layer].reading
        names = group.names(asking)
        if not names:
            had = copy_text({axis: value for axis, value in asking.items() if axis in group.axes})
            reading.refuse(path, f"no copy of {shortened(name)!r} has {had}", relation=True)
        return names if self._allowed(len(names), layer, path) else []

    def _allowed(self, waits: int, layer: int, path: Path) -> bool:
        before, self._waits = self._waits, self._waits + waits
        if self._waits > MOST_WAITS >= before:
            why = f"with this more than {MOST_WAITS} waits come of names that stand for all copies"
            advice = "put a process between the two that comes after the one and before the other"
            self.layers[layer].reading.refuse(path, f"{why}; {advice}", relation=True)
        return self._waits <= MOST_WAITS

    def orders_of(self, layer: int, index: int, constraint: Value) -> Iterator[Value]:
        """One constraint, or one for each pair of names where one of them stands for copies."""
        order = constraint.get("order") if isinstance(constraint, dict) else None
        if not isinstance(order, list) or not any(isinstance(name, str) and name in self.groups for name in order):
            self.orders.append((layer, index, None))
            yield constraint
            return
        assert isinstance(constraint, dict)
        path = ("constraints", index, "order")
        self.orders.append((layer, index, ()))
        yield {**constraint, "order": []}
        for place, (first, then) in enumerate(pairwise(order)):
            befores = self._all(first)
            if not self._allowed(len(befores) * len(afters := self._all(then)), layer, (*path, place + 1)):
                return
            for before in befores:
                for after in afters:
                    self.orders.append((layer, index, (place, place + 1)))
                    yield {"order": [before, after]}

    def _all(self, name: Value) -> list[Value]:
        group = self.groups.get(name) if isinstance(name, str) else None
        return [name] if group is None else [one for _, one in group.copies]


def _may_be_called(name: str) -> bool:
    """Whether a name is right as it is written; one that is not is refused as it is, and not made longer."""
    try:
        NAME.accept(name)
    except ValueError:
        return False
    return True


def expand(layers: list[Layer]) -> Expansion:
    """One task of a file (the last layer) and what it includes."""
    whole = Expansion(layers)
    value: dict[str, Value] = {}
    for layer in layers:
        said = {name: part for name, part in layer.value.items() if name not in JOINED}
        if layer.env and isinstance(said.get("env", {}), (dict, type(None))):
            mine = said.get("env")
            own = mine if isinstance(mine, dict) else {}
            said["env"] = {**{name: entry.value for name, entry in layer.env.items()}, **own}
        value = merged(said, value, ())
    whole.defaults = value.get("defaults")
    whole.value = {name: part for name, part in value.items() if name not in GONE}
    _join_processes(whole)
    _join_constraints(whole)
    return whole


def _join_processes(whole: Expansion) -> None:
    processes: list[Value] = []
    copies = 0
    for number, layer in enumerate(whole.layers):
        written = layer.value.get("processes")
        if written is None and number < len(whole.layers) - 1:
            continue
        if not isinstance(written, list):
            if "processes" in layer.value:
                whole.value["processes"] = written  # which is refused, whatever the others say
                return
            continue
        for index, process in enumerate(written):
            for row, its in whole.multiply(number, index, process, MOST_COPIES - copies):
                copies += row.copy is not None
                whole.rows.append(row)
                processes.append(its)
        whole.value["processes"] = processes
    if whole.groups:
        for row, process in zip(whole.rows, processes, strict=True):
            if isinstance(process, dict):
                whole.spell_out(row, process)


def _join_constraints(whole: Expansion) -> None:
    constraints: list[Value] = []
    for number, layer in enumerate(whole.layers):
        written = layer.value.get("constraints", [])
        if not isinstance(written, list):
            whole.value["constraints"] = written
            return
        for index, constraint in enumerate(written):
            constraints += whole.orders_of(number, index, constraint)
    if constraints:
        whole.value["constraints"] = constraints


def merges(path: Path) -> bool:
    """Whether what is written at `path` is taken field by field together with what lies beneath it."""
    if not path:
        return True
    return path[0] == "sandbox" or path in (
        *((name,) for name in ("env", "resources", "defaults")),
        *(("defaults", name) for name in BY_KEY),
    )


def merged(over: dict[str, Value], under: dict[str, Value], path: Path) -> dict[str, Value]:
    """Two mappings at `path` as one. Recurses only as far as `merges` allows, and no deeper than people write."""
    together = {**under, **over}
    if len(path) > 10:
        return together
    for name, value in over.items():
        beneath = under.get(name)
        if isinstance(value, dict) and isinstance(beneath, dict) and merges((*path, name)):
            together[name] = merged(value, beneath, (*path, name))
    return together
