"""JSON: read in one go by the standard library; read again, part by part, only to say where something is wrong."""

from __future__ import annotations

from thermos.config import patterns
from thermos.config.scalars import whole
from thermos.quick_json import loads

from .document import Builder, Document, Place
from .problems import unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thermos.config.wording import Value

_TOKEN = r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+'


def parse(text: str, file: str) -> Document:
    """Raises TaskFileError where the text is not JSON."""
    duplicates = False

    def mapping(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
        nonlocal duplicates
        fields = dict(pairs)
        duplicates = duplicates or len(fields) != len(pairs)
        return fields

    try:
        value: Value = loads(text, mapping, whole)
    except ValueError as error:
        from json import JSONDecodeError

        if not isinstance(error, JSONDecodeError):
            raise
        raise unreadable(file, error.lineno, error.colno, f"not JSON: {error.msg}") from None
    except RecursionError:
        build(text, file)  # says where
        raise unreadable(file, 0, 0, "nested too deeply") from None
    return Document(value, lambda: build(text, file).place, build(text, file).problems if duplicates else [])


def build(text: str, file: str) -> Builder:
    """The places of a text that is JSON, as far as it has been read; its scalars are left out."""
    builder = Builder(file)
    line, line_start, end = 1, 0, 0
    for match in patterns.finditer(_TOKEN, text):
        token = match[0]
        newlines = text.count("\n", end, match.start())
        if newlines:
            line += newlines
            line_start = text.rindex("\n", end, match.start()) + 1
        end = match.end()
        column = match.start() - line_start + 1
        if token in "}]":
            builder.close()
        elif token == "{":
            builder.open({}, Place(line, column))
        elif token == "[":
            builder.open([], Place(line, column))
        elif token not in ",:":
            if builder.wants_key():
                builder.key(loads(token), line, column)
            else:
                builder.add(None, Place(line, column))
    return builder
