"""One reading of a task: what was found wrong, and which names its templates mention."""

from __future__ import annotations

from .templates import fill, port_named
from .wording import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .wording import Path

SUGGESTIONS = 20  # names looked up for "did you mean": each costs a comparison with every known one


class Unknown:
    """Stands for a value that is wrong, or that is not known before its template is filled in."""


UNKNOWN = Unknown()


class Finding:
    """Something wrong: about the value at `path`, or about the field's own name there (`at_key`)."""

    __slots__ = ("at_key", "message", "path")

    def __init__(self, path: Path, message: str, at_key: bool = False) -> None:
        self.path = path
        self.message = message
        self.at_key = at_key


class Reading:
    __slots__ = ("bindings", "complete", "deferred", "findings", "ports", "suggested", "task")

    def __init__(self, bindings: Mapping[str, str], *, complete: bool) -> None:
        self.bindings = bindings
        self.complete = complete
        self.deferred = False  # some value waits for a name that is not bound yet
        self.findings: list[Finding] = []
        self.ports: dict[str, None] = {}  # names of ports mentioned, in order
        self.suggested = 0
        self.task: dict[str, Any] | None = None

    def refuse(self, path: Path, why: str, *, at_key: bool = False) -> None:
        self.findings.append(Finding(path, f"cannot use {path_text(path)}: {why}", at_key))

    def fill(self, text: str, path: Path) -> str | None:
        """The text with its templates filled in; None where that is wrong or has to wait."""
        try:
            filled = fill(text, self.bindings)
        except ValueError as error:
            self.refuse(path, str(error))
            return None
        for name in filled.names:
            port = port_named(name)
            if port is not None:
                self.ports[port] = None
        if not filled.unbound:
            return filled.text
        self.deferred = True
        if self.complete:
            for name in filled.unbound:
                hint = self.did_you_mean(name, self.bindings)
                self.refuse(path, f"nothing is bound to {{{{{name}}}}}{hint or f': give it with --bind {name}=VALUE'}")
        return None

    def did_you_mean(self, name: str, known: Iterable[str]) -> str:
        """`, did you mean 'x'?`, or nothing."""
        self.suggested += 1
        if self.suggested > SUGGESTIONS:
            return ""
        from difflib import get_close_matches

        near = get_close_matches(name[:100], list(known), 1)
        return f", did you mean {near[0]!r}?" if near else ""
