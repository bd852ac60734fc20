"""One reading of a task: what was found wrong, and which names its templates mention."""

from __future__ import annotations

from .templates import fill, port_named
from .wording import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .expansion import Expansion
    from .wording import Path

SUGGESTIONS = 20  # names looked up for "did you mean": each costs a comparison with every known one


class Unknown:
    """Stands for a value that is wrong, or that is not known before its template is filled in."""


UNKNOWN = Unknown()


class Finding:
    """Something wrong: about the value at `path`, or about the field's own name there (`at_key`).

    A `relation` is wrong only beside something else (other fields, names, what a template stands for); the rest shows
    in the value by itself, and the JSON Schema refuses it too.
    """

    __slots__ = ("at_key", "path", "relation", "why")

    def __init__(self, path: Path, why: str, at_key: bool = False, relation: bool = False) -> None:
        self.path = path
        self.why = why
        self.at_key = at_key
        self.relation = relation


class Reading:
    """`expansion`: how what is read was made from what the file says, where that differs."""

    __slots__ = ("bindings", "complete", "deferred", "expansion", "findings", "ports", "suggested", "task")

    def __init__(self, bindings: Mapping[str, str], *, complete: bool, expansion: Expansion | None = None) -> None:
        self.bindings = bindings
        self.complete = complete
        self.expansion = expansion
        self.deferred = False  # some value waits for a name that is not bound yet
        self.findings: list[Finding] = []
        self.ports: dict[str, None] = {}  # names of ports mentioned, in order
        self.suggested = 0
        self.task: dict[str, Any] | None = None

    def refuse(self, path: Path, why: str, *, at_key: bool = False, relation: bool = False) -> None:
        self.findings.append(Finding(path, why, at_key, relation))

    def shown(self, path: Path, beside: Path) -> str:
        """A path as the file has it, for a message about `beside`."""
        return path_text(path) if self.expansion is None else self.expansion.shown(path, beside)

    def fill(self, text: str, path: Path) -> str | None:
        """The text with its templates filled in; None where that is wrong or has to wait."""
        bindings = self.bindings if self.expansion is None else self.expansion.bindings(path, self.bindings)
        try:
            filled = fill(text, bindings)
        except ValueError as error:
            self.refuse(path, str(error), relation=True)
            return None
        for name in filled.names:
            port = port_named(name)
            if port is not None:
                self.ports[port] = None
        if not filled.unbound:
            return filled.text
        self.deferred = True
        for name in filled.unbound:
            if name.startswith("matrix."):
                self._refuse_matrix(name, path)
            elif self.complete:
                hint = self.did_you_mean(name, bindings)
                why = f"nothing is bound to {{{{{name}}}}}{hint or f': give it with --bind {name}=VALUE'}"
                self.refuse(path, why, relation=True)
        return None

    def _refuse_matrix(self, name: str, path: Path) -> None:
        why = "no 'matrix' is in force here" if self.expansion is None else self.expansion.no_axis(name, path)
        if why:
            self.refuse(path, f"there is no {{{{{name}}}}}: {why}", relation=True)

    def did_you_mean(self, name: str, known: Iterable[str]) -> str:
        """`, did you mean 'x'?`, or nothing."""
        self.suggested += 1
        return did_you_mean(name, known) if self.suggested <= SUGGESTIONS else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    names = list(known)
    elsewhere = ELSEWHERE.get(name)
    if elsewhere is not None and elsewhere.partition(".")[0] in names:
        return f", did you mean {elsewhere!r}?"
    from difflib import get_close_matches

    near = get_close_matches(name[:100], names, 1)
    return f", did you mean {near[0]!r}?" if near else ""


#: What other programs call it: Docker Compose, GitHub Actions, Kubernetes, systemd.
ELSEWHERE = {
    "args": "argv",
    "cmd": "cmdline",
    "command": "cmdline",
    "containers": "processes",
    "cpus": "cpu",
    "depends_on": "after",
    "entrypoint": "cmdline",
    "env_from": "env_file",
    "envFile": "env_file",
    "environment": "env",
    "healthcheck": "health",
    "jobs": "processes",
    "livenessProbe": "health",
    "max_retries": "max_failures",
    "mem": "ram",
    "mem_limit": "ram",
    "memory": "ram",
    "needs": "after",
    "pids_limit": "pids",
    "readinessProbe": "health",
    "retries": "max_failures",
    "run": "cmdline",
    "script": "cmdline",
    "services": "processes",
    "steps": "processes",
    "stop_grace_period": "stop.timeout",
    "stop_signal": "stop.signal",
    "strategy": "matrix",
    "terminationGracePeriodSeconds": "stop.timeout",
    "working-directory": "cwd",
    "workingDir": "cwd",
    "working_dir": "cwd",
}
