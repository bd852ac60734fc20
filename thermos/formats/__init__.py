"""Task files: from a name on the command line to a task whose every field is known.

    loaded = load("shop.yaml")              # everything that can be said without bindings is said here
    loaded.ports                            # ("http",)
    loaded.task({"thermos.ports[http]": "31000", ...})

FORMATS is the table; a format is imported when a file needs it.
"""

from __future__ import annotations

import os

from thermos.config import check, path_text

from .problems import Problem, TaskFileError, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from thermos.config import Reading

    from .document import Document

__all__ = ["Loaded", "Problem", "TaskFileError", "load"]

STDIN = "-"
LARGEST = 64 << 20  # bytes


def _json(text: str, file: str) -> Document:
    from .json import parse

    return parse(text, file)


def _yaml(text: str, file: str) -> Document:
    from .yaml import parse

    return parse(text, file)


def _json_or_yaml(text: str, file: str) -> Document:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _json(text, file)
        except TaskFileError:
            pass  # YAML may begin so too; and what is neither gets YAML's message
    return _yaml(text, file)


FORMATS: dict[str, Callable[[str, str], Document]] = {".json": _json, ".yaml": _yaml, ".yml": _yaml}


class Loaded:
    """A task file that has been read and, as far as that goes without all its bindings, found right."""

    __slots__ = ("_bindings", "_document", "_reading", "file", "ports")

    def __init__(self, file: str, document: Document, bindings: Mapping[str, str]) -> None:
        self.file = file
        self._document = document
        self._bindings = bindings
        self._reading = self._read(bindings, complete=False)
        self.ports: tuple[str, ...] = tuple(self._reading.ports)  # names of the ports that its templates mention

    def task(self, bindings: Mapping[str, str]) -> dict[str, Any]:
        """The complete task, as `thermos.core.task.Task` takes it: templates filled in, units in bytes and seconds.

        `bindings`: the names that stand in templates, such as `thermos.task_id`, `thermos.ports[http]`,
        `mesos.instance`; those given to `load` go before them. Raises TaskFileError for what shows only now: a name
        that nothing is bound to, a bound value that does not fit its field.
        """
        reading = self._reading
        if reading.deferred:
            reading = self._read({**bindings, **self._bindings}, complete=True)
        assert reading.task is not None  # whatever cannot be read is a finding
        return reading.task

    def _read(self, bindings: Mapping[str, str], *, complete: bool) -> Reading:
        reading = check(self._document.value, bindings, complete=complete)
        problems = list(self._document.problems)
        if reading.findings:
            place = self._document.place()
            for finding in reading.findings:
                line, column = place.locate(finding.path, finding.at_key)
                problems.append(Problem(self.file, line, column, path_text(finding.path), finding.message))
        if problems:
            raise TaskFileError(problems)
        return reading


def load(path: str, bindings: Mapping[str, str] | None = None) -> Loaded:
    """Read a task file (`-`: standard input) and check all that needs no more than `bindings` (`--bind NAME=VALUE`).

    Raises TaskFileError with every problem at once.
    """
    file = "<stdin>" if path == STDIN else path
    suffix = os.path.splitext(path)[1].lower()
    parse = _json_or_yaml if path == STDIN else FORMATS.get(suffix)
    if parse is None:
        kinds = "a task file is named .yaml, .yml or .json, or is '-' for standard input"
        raise unreadable(file, 0, 0, f"{suffix or 'a name without an ending'} is no format known here; {kinds}")
    text = _text(_content(path, file), file)
    if not text.strip():
        raise unreadable(file, 0, 0, "it is empty")
    return Loaded(file, parse(text, file), bindings or {})


def _content(path: str, file: str) -> bytes:
    try:
        with open(0 if path == STDIN else path, "rb", closefd=path != STDIN) as source:
            content = source.read(LARGEST + 1)
    except OSError as error:
        raise unreadable(file, 0, 0, (error.strerror or str(error)).lower()) from None
    except ValueError as error:  # a zero byte in the path
        raise unreadable(file, 0, 0, str(error)) from None
    if len(content) > LARGEST:
        raise unreadable(file, 0, 0, f"it is larger than {LARGEST >> 20} MiB")
    return content


def _text(content: bytes, file: str) -> str:
    """Strictly UTF-8; a byte order mark is passed over."""
    zero = content.find(0)
    if zero >= 0:
        before = content[:zero]
        column = zero - (before.rfind(b"\n") + 1) + 1
        raise unreadable(file, before.count(b"\n") + 1, column, "it is not text: it holds a zero byte")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
        raise unreadable(file, line, column, f"it is not UTF-8 text: byte 0x{content[error.start]:02x}") from None
