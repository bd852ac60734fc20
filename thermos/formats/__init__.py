"""Task files: from a name on the command line to a task whose every field is known.

    loaded = load("shop.yaml")              # everything that can be said without bindings is said here
    loaded.ports                            # ("http",)
    loaded.task({"thermos.ports[http]": "31000", ...})
    loaded.origin(("processes", 3, "max_failures"))  # shop.yaml, line 12; or a default; or ...

FORMATS is the table of those that hold a plain value; AURORA lists the dialects of Aurora's configuration language,
which are programs. A format is imported when a file needs it, and so is what spells out `include`, `defaults`,
`env_file` and `matrix`.
"""

from __future__ import annotations

import errno
import os
import stat

from thermos.config import check, needs_expansion, path_text

from .problems import Problem, TaskFileError, found_at, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from thermos.config import Finding, Reading
    from thermos.config.expansion import Expansion
    from thermos.config.wording import Path

    from .aurora.choice import Choice
    from .document import Document
    from .origin import Origin

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


def _toml(text: str, file: str) -> Document:
    from .toml import parse

    return parse(text, file)


FORMATS: dict[str, Callable[[str, str], Document]] = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": _json}
AURORA = (".aurora", ".thermos")


class Loaded:
    """A task file that has been read and, as far as that goes without all its bindings, found right.

    `ports`: names of the ports that its templates mention. `aside`: what a file of Aurora's says that a task has no
    place for; empty for other formats.
    """

    __slots__ = ("_bindings", "_document", "_documents", "_expansion", "_reading", "aside", "file", "ports")

    def __init__(self, path: str, document: Document, bindings: Mapping[str, str]) -> None:
        self.file = _shown(path)
        self.aside: dict[str, Any] = document.aside
        self._document = document
        self._bindings = bindings
        self._expansion: Expansion | None = None
        self._documents = [document]  # one for each of the expansion's layers
        if needs_expansion(document.value):
            from .including import expanded

            self._expansion, self._documents = expanded(path, self.file, document, bindings)
        self._reading = self._read(bindings, complete=False)
        self.ports: tuple[str, ...] = tuple(self._reading.ports)

    def task(self, bindings: Mapping[str, str]) -> dict[str, Any]:
        """The complete task, as `thermos.core.task.Task` takes it: templates filled in, units in bytes and seconds.

        `bindings`: the names that stand in templates, such as `thermos.task_id`, `thermos.ports[http]`,
        `mesos.instance`; those given to `load` go before them. Raises TaskFileError for what shows only now: a name
        that nothing is bound to, a bound value that does not fit its field.
        """
        reading = self._reading
        if reading.deferred:
            reading = self._read({**bindings, **self._bindings}, complete=True)
        late = [name for name in reading.ports if name not in self._reading.ports]
        if late:
            why = f"the port {late[0]!r} is named by what only a running task knows: write its name out"
            raise TaskFileError([Problem(self.file, 0, 0, "", f"cannot use the task: {why}")])
        assert reading.task is not None  # whatever cannot be read is a finding
        return reading.task

    def origin(self, path: Path) -> Origin:
        """Where the value at a path of `task()` comes from, such as `("processes", 3, "max_failures")`."""
        from .origin import origin

        return origin(path, self._documents, self._expansion, self.file, self._bindings)

    def about(self, path: Path, message: str) -> Problem:
        """Something to say of what is at a path, with its place, or that of the nearest around it that is written."""
        around = path
        origin = self.origin(around)
        while not origin.line and around:
            around = around[:-1]
            origin = self.origin(around)
        return Problem(origin.file or self.file, origin.line, origin.column, path_text(path), message)

    def _read(self, bindings: Mapping[str, str], *, complete: bool) -> Reading:
        reading = check(self._document.value, bindings, complete=complete, expansion=self._expansion)
        if self._expansion is not None:
            from .including import problems_of

            problems = problems_of(self._expansion, self._documents, reading)
        else:
            problems = [*self._document.problems, *self._located(reading.findings)]
        if problems:
            raise TaskFileError(problems)
        return reading

    def _located(self, findings: list[Finding]) -> list[Problem]:
        if not findings:
            return []
        place = self._document.place()
        return [found_at(self.file, place, finding, path_text(finding.path)) for finding in findings]


def load(path: str, bindings: Mapping[str, str] | None = None, choose: Choice | None = None) -> Loaded:
    """Read a task file (`-`: standard input) and check all that needs no more than `bindings` (`--bind NAME=VALUE`).

    `choose`: which of the jobs or tasks of a file of Aurora's; other files hold one. Raises TaskFileError with every
    problem at once.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix in AURORA:
        from .aurora import load as load_aurora
        from .aurora.choice import Choice

        file = _shown(path)
        document: Document = load_aurora(file, read_text(path), suffix[1:], bindings or {}, choose or Choice())
    elif choose is not None and (choose.job or choose.task):
        raise unreadable(_shown(path), 0, 0, "it holds one task, so neither --job nor --task has a choice")
    else:
        document = read_document(path)
    return Loaded(path, document, bindings or {})


def read_document(path: str) -> Document:
    """The plain value of a file in one of FORMATS. Raises TaskFileError."""
    suffix = os.path.splitext(path)[1].lower()
    parse = _json_or_yaml if path == STDIN else FORMATS.get(suffix)
    if parse is None:
        kinds = "a task file is named .yaml, .yml, .toml, .json, .aurora or .thermos, or is '-' for standard input"
        raise unreadable(_shown(path), 0, 0, f"{suffix or 'a name without an ending'} is no format known here; {kinds}")
    text = read_text(path)
    if not text.strip():
        raise unreadable(_shown(path), 0, 0, "it is empty")
    return parse(text, _shown(path))


def read_text(path: str) -> str:
    """The text of a file that is not too large. Raises TaskFileError."""
    return _text(_content(path, _shown(path)), _shown(path))


def _shown(path: str) -> str:
    return "<stdin>" if path == STDIN else path


def _open_regular(path: str, flags: int) -> int:
    """A FIFO or a terminal would have us wait for somebody to write."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISFIFO(os.fstat(fd).st_mode) or stat.S_ISCHR(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file; standard input is named -")
    os.set_blocking(fd, True)
    return fd


def _content(path: str, file: str) -> bytes:
    try:
        with open(0 if path == STDIN else path, "rb", closefd=path != STDIN, opener=_open_regular) as source:
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
