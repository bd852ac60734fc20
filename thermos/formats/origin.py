"""Where the values of a loaded task come from, for those who ask."""

from __future__ import annotations

from thermos.config.matrix import copy_text
from thermos.config.provenance import Source, trace
from thermos.config.templates import fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal

    from thermos.config.expansion import Expansion
    from thermos.config.wording import Path, Value

    from .document import Document

    Kind = Literal["file", "default", "defaults", "binding", "include", "matrix", "env_file", "derived"]

# What the core calls otherwise than a file does. `rows` goes the other way.
_RULE = {
    "codes": ("on", "code"),
    "signals": ("on", "signal"),
    "under": ("on", "uptime_under"),
    "over": ("on", "uptime_over"),
    "oom": ("on", "oom"),
    "unhealthy": ("on", "unhealthy"),
    "again": ("action",),
}
_BACKOFF = {"most": ("max",)}
_HEALTH = {
    "initial_interval": ("initial_interval_secs",),
    "interval": ("interval_secs",),
    "timeout": ("timeout_secs",),
    "max_failures": ("max_consecutive_failures",),
    "min_successes": ("min_consecutive_successes",),
}
_DEFAULT = "default of Thermos"
_DEFAULT_OF_AURORA = "default of Aurora"
#: What a job comes to, and is written nowhere.
_OF_THE_JOB = ("key", "portmap", "ports")


class Origin:
    """`kind` says what gave the value; `file`, `line` and `column` (from 1) where that stands, "" and 0 where nowhere.

    file, include   it is written so, in the file itself or in one that it includes
    defaults        a file's `defaults` give it to every process that does not say otherwise
    env_file        a line of an env file
    matrix          its text was filled in from the values of its copy
    binding         its text was filled in from what templates may name
    default         nobody says anything: what Thermos does then, or what Aurora's language says
    derived         it follows from other fields, which `note` names
    """

    __slots__ = ("column", "file", "kind", "line", "note")

    def __init__(self, kind: Kind, file: str = "", line: int = 0, column: int = 0, note: str = "") -> None:
        self.kind: Kind = kind
        self.file = file
        self.line = line
        self.column = column
        self.note = note


def origin(
    path: Path, documents: Sequence[Document], expansion: Expansion | None, file: str, bindings: Mapping[str, str]
) -> Origin:
    """`path`: in the task as the core has it, or, with "aside" before it, in what stands aside.

    `bindings`: those given with --bind.
    """
    there = _in_the_file(path)
    last = len(documents) - 1
    source = trace(expansion, there) if expansion is not None else Source(last, there)
    document = documents[source.layer]
    if source.entry is not None:
        return Origin("env_file", source.entry.file, source.entry.line, source.entry.column)
    aside = path[:1] == ("aside",)
    if aside and path[1:2] in [(name,) for name in _OF_THE_JOB]:
        return Origin("derived", file, note="from the job")
    written = _written({"aside": document.aside} if aside else document.value, source.path)
    if written is None:
        return _unsaid(path, there, documents, expansion, file)
    if _is_auroras(document, source.path):
        if path == ("name",):
            return _unsaid(path, there, documents, expansion, file)
        return Origin("default", note=_DEFAULT_OF_AURORA)
    found, value = written
    line, column = document.place().locate(found, False)
    named = file if expansion is None else expansion.layers[source.layer].file
    kind: Kind = "defaults" if source.defaults else "file" if source.layer == last else "include"
    note = ""
    if isinstance(value, str) and "{{" in value:
        kind, note = _filled_in(value, source, bindings, kind)
    elif path[2:] == ("name",) and source.copy:
        kind, note = "matrix", copy_text(source.copy)
    return Origin(kind, named, line, column, note)


def _in_the_file(path: Path) -> Path:
    """A path of the core's in the words of a file."""
    if path[:1] != ("processes",) or len(path) < 4:
        return path
    start, rest = path[:3], path[3:]
    if path[2] == "restart" and len(rest) > 1:
        if rest[1] == "backoff":
            return (*start, *rest[:2], *_translated(rest[2:], _BACKOFF))
        return (*start, rest[0], *_translated(rest[1:], _RULE))
    if path[2] == "health":
        return (*start, *_translated(rest, _HEALTH))
    return path


def _translated(rest: Path, words: Mapping[str, Path]) -> Path:
    return (*words.get(str(rest[0]), rest[:1]), *rest[1:]) if rest else rest


def _is_auroras(document: Document, path: Path) -> bool:
    """Does the language say it, or what it is a part of, and the file itself does not?"""
    from .aurora import AuroraDocument

    if not isinstance(document, AuroraDocument):
        return False
    return any(path[:depth] in document.defaults for depth in range(1, len(path) + 1))


def _written(value: Value, path: Path) -> tuple[Path, Any] | None:
    """What a file says at `path`, and the path as it really is there; None where it says nothing.

    A single value stands for a list of it, and a scalar for what it was split into.
    """
    found: list[str | int] = []
    for step in path:
        if isinstance(step, int) and not isinstance(value, list):
            continue
        if isinstance(value, dict) and value.get(str(step)) is not None:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
        found.append(step)
    return (tuple(found), value) if value is not None or not path else None


def _unsaid(path: Path, there: Path, documents: Sequence[Document], expansion: Expansion | None, file: str) -> Origin:
    """Of what no file says: it follows from what one says elsewhere, or is a default."""
    if path == ("name",):
        name = origin(("processes", 0, "name"), documents, expansion, file, {})
        return Origin("derived", name.file, name.line, name.column, "the name of the first process")
    if len(path) > 2 and path[0] == "processes" and path[2] in ("after", "conditions"):
        said = trace(expansion, (*path[:2], "after")) if expansion is not None else None
        document = documents[said.layer if said is not None else -1]
        written = _written(document.value, said.path if said is not None else (*path[:2], "after"))
        if written is not None:
            line, column = document.place().locate(written[0], False)
            named = file if expansion is None or said is None else expansion.layers[said.layer].file
            return Origin("derived", named, line, column, "from 'after' and 'constraints'")
        for document in documents:
            if isinstance(document.value, dict) and document.value.get("constraints"):
                return Origin("derived", note="from 'constraints'")
    return Origin("default", note=_DEFAULT)


def _filled_in(text: str, source: Source, bindings: Mapping[str, str], kind: Kind) -> tuple[Kind, str]:
    """What the templates of a text were filled in from."""
    names = fill(text, {**bindings, **{f"matrix.{axis}": value for axis, value in (source.copy or {}).items()}}).names
    if not names:
        return kind, ""
    matrix = [name for name in names if name.startswith("matrix.")]
    others = [f"--bind {name}" if name in bindings else name for name in names if name not in matrix]
    return "binding" if others else "matrix", f"filled in from {', '.join((*others, *matrix))}"
