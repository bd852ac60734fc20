"""Env files: one NAME=VALUE a line, as `docker compose` and dotenv have them, but for what differs among those.

    # a comment; blank lines are passed over too
    export NAME=value of the rest of the line    # a comment after a space
    NAME='as it stands, over several lines too'
    NAME="with \\n \\r \\t \\" \\\\ \\$ for what cannot be typed; any other backslash stays"

Spaces around the name, the `=` and the value do not count. Nothing is filled in: `$` and `{{` are themselves. A name
comes once. What is refused is never quoted in a message: it may be a secret.
"""

from __future__ import annotations

import re

from thermos.config.expansion import Entry
from thermos.config.kinds import Verbatim

from .problems import Problem

_NAME = r"[A-Za-z_][A-Za-z0-9_.\-]*"
_SPACE = " \t"
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse(text: str, file: str) -> tuple[dict[str, Entry], list[Problem]]:
    """What it says, and what is wrong with it."""
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    text = text.replace("\r\n", "\n")
    at, line = 0, 1
    while at < len(text):
        end = _end_of_line(text, at)
        found = re.compile(rf"[ \t]*(?:export[ \t]+)?({_NAME})[ \t]*=[ \t]*").match(text, at, end)
        if not text[at:end].strip() or text[at:end].lstrip().startswith("#"):
            at, line = end + 1, line + 1
            continue
        start = at + len(text[at:end]) - len(text[at:end].lstrip(_SPACE))
        column = start - at + 1
        if found is None:
            why = "expected NAME=VALUE, the name of letters, digits, '_', '.' and '-'"
            problems.append(_problem(file, line, column, why))
            at, line = end + 1, line + 1
            continue
        name = found[1]
        try:
            value, after = _value(text, found.end(), end)
        except ValueError as error:
            problems.append(_problem(file, line, found.end() - at + 1, f"{name}: {error}"))
            at, line = end + 1, line + 1
            continue
        if name in entries:
            why = f"{name} comes twice, first on line {entries[name].line}"
            problems.append(_problem(file, line, column, why))
        else:
            entries[name] = Entry(Verbatim(value), file, line, column)
        line += text.count("\n", at, after) + 1
        at = after + 1
    return entries, problems


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _value(text: str, at: int, end: int) -> tuple[str, int]:
    """The value that begins at `at`, and the end of its last line. Raises ValueError, which shows nothing of it."""
    quote = text[at : at + 1]
    if quote not in ("'", '"') or at >= end:
        return re.split(r"(?:^|[ \t]+)#", text[at:end], maxsplit=1)[0].strip(_SPACE), end
    pattern = r"'([^']*)'" if quote == "'" else r'"([^"\\]*(?:\\.[^"\\]*)*)"'
    found = re.compile(pattern, re.DOTALL).match(text, at)
    if found is None:
        raise ValueError(f"the quote {quote} that begins its value is never closed")
    end = _end_of_line(text, found.end())
    if not re.fullmatch(r"[ \t]*(?:#.*)?", text[found.end() : end]):
        raise ValueError("something follows its closing quote; only a comment may")
    value = found[1]
    if quote == '"':
        value = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), value, flags=re.DOTALL)
    return value, end


def _problem(file: str, line: int, column: int, why: str) -> Problem:
    return Problem(file, line, column, "", f"cannot read the env file: {why}")
