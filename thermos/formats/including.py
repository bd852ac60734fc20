"""The files that a task file names: those it includes, and env files. Found relative to the file that names them."""

from __future__ import annotations

import os
from collections import Counter

from thermos.config import UNKNOWN
from thermos.config.expansion import Layer, expand
from thermos.config.provenance import trace
from thermos.config.schema import FILES
from thermos.config.wording import path_text, shown

from . import FORMATS, LARGEST, STDIN, env_file, read_document, read_text
from .problems import Problem, TaskFileError, found_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from thermos.config import Reading
    from thermos.config.expansion import Entry, Expansion
    from thermos.config.provenance import Source
    from thermos.config.wording import Path, Value

    from .document import Document, Place

DEEPEST = 10  # files that include one another
MOST_FILES = 100
SHOWN_OF_COPIES = 3  # problems at one place, which only copies can have in any number


def expanded(path: str, file: str, document: Document, bindings: Mapping[str, str]) -> tuple[Expansion, list[Document]]:
    """The task that a file and all it includes come to, and the documents of its layers.

    Raises TaskFileError where a file cannot be had: without it there is no telling what else is wrong.
    """
    gathering = _Gathering(bindings)
    gathering.take(path, file, document, ())
    if gathering.incomplete:
        found = [problem for one in gathering.documents for problem in one.problems]
        raise TaskFileError([*_of_layers(gathering.layers, gathering.documents), *found, *gathering.problems])
    document.problems += gathering.problems
    return expand(gathering.layers), gathering.documents


def problems_of(expansion: Expansion, documents: list[Document], reading: Reading) -> list[Problem]:
    """Everything wrong, at the places where it was written; what several processes share is said once."""
    problems = _of_layers(expansion.layers, documents)
    problems += [problem for document in reversed(documents) for problem in document.problems]
    places: dict[int, Place] = {}
    same: dict[tuple[str, int, int, str, bool], list[Source]] = {}
    for finding in reading.findings:
        source = trace(expansion, finding.path)
        if source.entry is not None:
            where = source.entry.file, source.entry.line, source.entry.column
        else:
            if source.layer not in places:
                places[source.layer] = documents[source.layer].place()
            file = expansion.layers[source.layer].file
            where = file, *places[source.layer].locate(source.path, finding.at_key)
        same.setdefault((*where, finding.why, finding.relation), []).append(source)
    copies: Counter[tuple[Any, ...]] = Counter((row.layer, row.index) for row in expansion.rows)
    crowds = Counter((*where, sources[0].path) for (*where, _, _), sources in same.items())
    told: Counter[tuple[Any, ...]] = Counter()
    for (file, line, column, why, relation), sources in same.items():
        source = sources[0]
        path = source.text
        if source.copy and len(sources) >= copies[source.layer, source.path[1]]:
            path = path_text(source.path)  # it is so whatever the matrix says
        crowd = (file, line, column, source.path)
        told[crowd] += 1
        if told[crowd] > SHOWN_OF_COPIES:
            continue
        if told[crowd] == SHOWN_OF_COPIES < crowds[crowd]:
            why += f" (and {crowds[crowd] - SHOWN_OF_COPIES} more like this, of other copies)"
        problems.append(Problem(file, line, column, path, f"cannot use {path}: {why}", relation=relation))
    return sorted(problems, key=lambda problem: problem.file != expansion.layers[-1].file)


def _of_layers(layers: list[Layer], documents: list[Document]) -> list[Problem]:
    return [
        found_at(layer.file, document.place(), finding, path_text(finding.path))
        for layer, document in zip(reversed(layers), reversed(documents), strict=True)
        for finding in layer.reading.findings
    ]


class _Gathering:
    """Reads a file's includes, theirs first, and every env file, each once."""

    def __init__(self, bindings: Mapping[str, str]) -> None:
        self.bindings = bindings
        self.layers: list[Layer] = []
        self.documents: list[Document] = []
        self.problems: list[Problem] = []
        self.incomplete = False
        self.seen: set[str] = set()
        self.bytes = 0
        self.env_files: dict[str, dict[str, Entry]] = {}

    def take(self, path: str, file: str, document: Document, chain: tuple[str, ...]) -> None:
        """Add the layers of a file. `chain`: those that include it, outermost first, as they are named."""
        value = document.value
        if not isinstance(value, dict):
            self.incomplete = True
            place = document.place()
            why = f"cannot include {file}: expected a task, or some fields of one (a mapping), got {shown(value)}"
            self.problems.append(Problem(file, place.line, place.column, "", why))
            return
        layer = Layer(file, value, self.bindings)
        self.seen.add(os.path.realpath(path))
        for name, where in _names(value.get("include"), ("include",), layer.reading):
            self.include(_beside(path, name), where, layer, (*chain, file))
        for name, where in _names(value.get("env_file"), ("env_file",), layer.reading):
            layer.env.update(self.env_file(_beside(path, name), where, layer))
        processes = value.get("processes")
        for number, process in enumerate(processes if isinstance(processes, list) else []):
            if isinstance(process, dict) and "env_file" in process:
                start: Path = ("processes", number, "env_file")
                for name, where in _names(process["env_file"], start, layer.reading):
                    entries = self.env_file(_beside(path, name), where, layer)
                    layer.process_env.setdefault(number, {}).update(entries)
        self.layers.append(layer)
        self.documents.append(document)

    def include(self, path: str, where: Path, layer: Layer, chain: tuple[str, ...]) -> None:
        real = os.path.realpath(path) if "\0" not in path else path
        if real in self.seen and real not in map(os.path.realpath, chain):
            return
        why = self.why_not(path, real, chain)
        document: Document | None = None
        if not why:
            try:
                document = read_document(path)
            except TaskFileError as error:
                self.incomplete = True
                whole_file = [problem for problem in error.problems if not problem.line]
                self.problems += [problem for problem in error.problems if problem.line]
                why = f"cannot read {path}: {_reason(whole_file[0])}" if whole_file else ""
        if why:
            self.incomplete = True
            layer.reading.refuse(where, why, relation=True)
        if document is not None:
            self.take(path, path, document, chain)

    def why_not(self, path: str, real: str, chain: tuple[str, ...]) -> str:
        if os.path.splitext(path)[1].lower() not in FORMATS:
            return f"{path} is none of the files that can be included: {', '.join(FORMATS)}"
        if real in map(os.path.realpath, chain):
            return f"the files include one another in a circle: {' -> '.join((*chain, path))}"
        if len(chain) > DEEPEST:
            return f"files are included more than {DEEPEST} deep: {' -> '.join((*chain, path))}"
        if len(self.seen) > MOST_FILES:
            return f"more than {MOST_FILES} files are included"
        try:
            self.bytes += os.stat(path).st_size
        except (OSError, ValueError):
            return ""  # reading it says so
        if self.bytes > LARGEST:
            return f"the files included are larger than {LARGEST >> 20} MiB together"
        return ""

    def env_file(self, path: str, where: Path, layer: Layer) -> dict[str, Entry]:
        if path not in self.env_files:
            self.env_files[path] = {}
            try:
                self.env_files[path], problems = env_file.parse(read_text(path), path)
                self.problems += problems
            except TaskFileError as error:
                # Not which byte is no UTF-8: it may be of a secret.
                problem = error.problems[0]
                why = _reason(problem).partition(": byte 0x")[0]
                if problem.line:
                    why = f"cannot read the env file: {why}"
                    self.problems.append(Problem(path, problem.line, problem.column, "", why))
                else:
                    layer.reading.refuse(where, f"cannot read {path}: {why}", relation=True)
        return self.env_files[path]


def _names(value: Value, path: Path, reading: Reading) -> Iterator[tuple[str, Path]]:
    """The names of files in one field, each with its path."""
    if value is None:
        return
    names = FILES.read(value, path, reading)
    for place, name in enumerate(names if names is not UNKNOWN else []):
        if name is not UNKNOWN:
            yield name, (*path, place) if isinstance(value, list) else path


def _beside(path: str, name: str) -> str:
    """A file named in the one at `path`."""
    directory = "" if path == STDIN else os.path.dirname(path)
    return os.path.join(directory or ("." if name == STDIN else ""), name)


def _reason(problem: Problem) -> str:
    return problem.message.removeprefix("cannot read the task file: ")
