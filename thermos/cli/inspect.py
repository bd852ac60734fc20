"""`thermos inspect`: a task file as it is understood, and where each value comes from."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from thermos.config import path_text
from thermos.config.templates import port_variable
from thermos.config.wording import printable
from thermos.core.status import signal_name
from thermos.core.task import HealthCheck, Process, Rule, Stop, Task
from thermos.drawing import picture_of
from thermos.formats import Loaded

from . import asked_file
from .kind import JSON, Argument, Option
from .words import print_json

if TYPE_CHECKING:
    from thermos.formats.origin import Origin

    Path = tuple[str | int, ...]

HELP = """Show a task file as it is understood: every field, its value, and where that comes from.

What is known only when it runs, such as a port's number, stands there as its template."""

ARGUMENTS = (Argument("file", "The task file, or - for standard input."),)

OPTIONS = (
    Option("all", "Show defaults too.", "flag"),
    Option("show-secrets", "Show what comes from env files.", "flag"),
    *asked_file.OPTIONS,
    JSON,
)

HIDDEN = "(not shown)"
#: Columns up to which a value stands beside its name.
_BESIDE = 60
_SECONDS = frozenset(
    (
        *("finalization_wait", "min_duration", "timeout", "initial", "most", "reset", "under", "over"),
        *("initial_interval", "interval"),
    )
)
_RANGES = frozenset(("success_codes", "codes"))
_RATES = frozenset(("egress", "ingress"))
_BYTES = frozenset(("ram", "disk", "ram_low", "ram_high", "swap", "tmp", "shm"))
#: Where an empty list says something: nothing of this is allowed.
_NOTHING_ALLOWED = frozenset(("capabilities", "read", "write", "execute", "bind", "connect"))
#: What silence means, where the core leaves it to the sandbox.
_SILENCE = {
    "sandbox.network": "host",
    "sandbox.rootfs": "the host's files",
    "sandbox.read_only": "true; false with a rootfs",
    "sandbox.tmp": "half of the memory",
    "sandbox.shm": "half of the memory",
    "sandbox.hostname": "the host's",
    "sandbox.hidepid": "false",
    "sandbox.masks": "true",
    "sandbox.namespaces": "pid, mount, ipc, uts, cgroup",
    "sandbox.seccomp": "default",
    "sandbox.landlock.bind": "all",
    "sandbox.landlock.connect": "all",
    "capabilities": "the usual ones",
    **dict.fromkeys(("rlimits", "nice", "ionice", "scheduler", "affinity", "oom_score_adj"), "as it is"),
}
_OF_EACH = "HOME LOGNAME USER PATH THERMOS_TASK_ID THERMOS_PROCESS THERMOS_RUN THERMOS_SANDBOX"


class _Field:
    """One value of the task, with its place in it, its origin, and the value in words."""

    def __init__(self, path: Path, value: Any, origin: Origin, *, hidden: bool) -> None:
        self.path = path
        self.value = value
        self.origin = origin
        self.hidden = hidden

    @property
    def shown(self) -> str:
        if self.hidden:
            return f"(from {self.origin.file}, not shown)"
        if self.path[-2:-1] == ("rlimits",):
            return ":".join("unlimited" if limit < 0 else str(limit) for limit in self.value)
        if self.origin.kind == "default" and self.value in (None, {}):
            silence = _SILENCE.get(path_text(self.path[2 * (self.path[0] == "processes") :]))
            if silence is not None:
                return silence
        return _shown(str(self.path[-1]), self.value)


def run(given: dict[str, Any]) -> int:
    """0. Raises Cannot."""
    loaded, task = asked_file.understood(given, as_written=True)
    fields = [_field(path, value, loaded, given) for path, value in _leaves((), task)]
    if given["json"]:
        print_json(_as_json(loaded, task, fields))
    else:
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in _page(loaded, task, fields, given))
    return 0


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """Every value of a task that has no named parts, with its path: as the core has it, defaults and all."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _leaves((*path, name), getattr(value, name))
    elif isinstance(value, dict) and value:
        for name, part in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _leaves((*path, str(name)), part)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, tuple) and any(isinstance(part, msgspec.Struct) for part in value):  # pyright: ignore[reportUnknownVariableType]
        for place, part in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            yield from _leaves((*path, place), part)
    else:
        yield path, value


def _field(path: Path, value: Any, loaded: Loaded, given: dict[str, Any]) -> _Field:
    written = (*path[:-1], "mode") if path[1:2] == ("volumes",) and path[-1] == "read_only" else path
    origin = loaded.origin(written)
    return _Field(path, value, origin, hidden=origin.kind == "env_file" and not given["show_secrets"])


def _as_json(loaded: Loaded, task: Task, fields: list[_Field]) -> dict[str, object]:
    whole = _whole(task)
    origins: dict[str, object] = {}
    for field in fields:
        origin = field.origin
        origins[path_text(field.path)] = {
            "kind": origin.kind,
            "file": origin.file or None,
            "line": origin.line or None,
            "column": origin.column or None,
            "note": origin.note,
        }
        if field.hidden:
            around = whole
            for step in field.path[:-1]:
                around = around[step]
            around[field.path[-1]] = HIDDEN
    return {"file": loaded.file, "task": whole, "ports": loaded.ports, "origins": origins, "aside": loaded.aside}


def _whole(value: Any) -> Any:
    """Plain values for every field: msgspec leaves those out that are as their structs' defaults have it."""
    if isinstance(value, msgspec.Struct):
        return {name: _whole(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(name): _whole(part) for name, part in value.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, (tuple, list)):
        return [_whole(part) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value


# The page for people.


def _page(loaded: Loaded, task: Task, fields: list[_Field], given: dict[str, Any]) -> Iterator[str]:
    dim = ("\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    of_the_task = [field for field in fields if field.path[0] != "processes"]
    of_processes: list[list[_Field]] = [[] for _ in task.processes]
    for field in fields:
        if field.path[0] == "processes":
            of_processes[int(field.path[1])].append(field)
    yield f"task {printable(task.name)}"
    yield from _rows([*_chosen(of_the_task, 0, given), *_ports(loaded)], dim)
    of_all = [field for field in of_the_task if field.path[0] == "env" and len(field.path) > 1]
    for process, own in zip(task.processes, of_processes, strict=True):
        kind = " ".join((*(["final"] if process.final else []), *(["daemon"] if process.daemon else [])))
        yield ""
        yield f"process {printable(process.name)}" + (f" ({kind})" if kind else "")
        inherited = [field for field in of_all if field.path[1] not in process.env]
        rows = [*_chosen(own, 2, given), *((_name(field, 0), field.shown, _from(field.origin)) for field in inherited)]
        yield from _rows([*rows, *_in_words(process)], dim)
    yield ""
    yield f"order: {_order(task)}"
    yield f"env of each process besides: {' '.join((_OF_EACH, *map(port_variable, loaded.ports)))}"
    kept = [(path_text(path), text, loaded.origin(("aside", *path))) for path, text in _kept((), loaded.aside)]
    without_effect = [row for row in kept if not _is_in_effect(row[0]) and (given["all"] or row[2].kind != "default")]
    shown = [(name, text, _from(origin)) for name, text, origin in without_effect]
    if shown:
        yield ""
        yield "kept, and without effect here:"
        yield from _rows(shown, dim)


#: What stands aside in full, and is a part of the task as well.
_IN_EFFECT = re.compile(
    r"resources\.(cpu|ram|disk)|job\.role|job\.container\.(docker\.)?image(\.name|\.tag)?"
    r"|job\.container\.(docker\.)?volumes(\..*)?"
)


def _is_in_effect(name: str) -> bool:
    return _IN_EFFECT.fullmatch(name) is not None


def _kept(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """What stands aside, value by value; what is empty says nothing."""
    if isinstance(value, dict):
        for name, part in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _kept((*path, str(name)), part)  # pyright: ignore[reportUnknownArgumentType]
    elif value not in (None, "", [], ()):
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _chosen(fields: list[_Field], depth: int, given: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for field in fields:
        empty = field.value in ((), {}) and field.path[-1] not in _NOTHING_ALLOWED
        empty = empty or (field.path[-1] == "pattern" and not field.value)
        if given["all"] or not (empty or field.origin.kind == "default"):
            yield _name(field, depth), field.shown, _from(field.origin)


def _name(field: _Field, depth: int) -> str:
    return path_text(field.path[depth:])


def _ports(loaded: Loaded) -> Iterator[tuple[str, str, str]]:
    if loaded.ports:
        yield "ports", ", ".join(map(printable, loaded.ports)), "asked for by a template or a check"


def _rows(rows: list[tuple[str, str, str]], dim: tuple[str, str]) -> Iterator[str]:
    """Name, value, origin; a value that is long or of several lines stands below its name."""
    parts = [(printable(name), _lines(value), printable(origin)) for name, value, origin in rows]
    beside = [len(lines) == 1 and (len(lines[0]) <= _BESIDE or not origin) for _, lines, origin in parts]
    names = max((len(name) for name, _, _ in parts), default=0)
    widths = (len(lines[0]) for (_, lines, origin), short in zip(parts, beside, strict=True) if short and origin)
    values = max(widths, default=0)
    for (name, lines, origin), short in zip(parts, beside, strict=True):
        first = lines[0] if short else ""
        yield f"  {name:{names}}  {first:{values}}  " + (f"{dim[0]}{origin}{dim[1]}" if origin else "")
        if not short:
            yield from (f"      {line}" for line in lines)


def _lines(value: str) -> list[str]:
    return [printable(line.expandtabs(4)) for line in value.rstrip("\n").split("\n")]


def _from(origin: Origin) -> str:
    """Where a value comes from: its place, and what is to be said besides."""
    place = f"{origin.file}:{origin.line}:{origin.column}" if origin.line else origin.file
    kind = "" if origin.kind in ("file", "derived") or (origin.kind == "default" and origin.note) else origin.kind
    if origin.kind == "binding" and origin.note:
        kind = ""
    besides = ", ".join(part for part in (kind, origin.note) if part)
    return f"{place} ({besides})" if place and besides else place or besides


def _shown(name: str, value: Any) -> str:
    """A value as people write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if name in _SECONDS:
        return _seconds(value)
    if name in _BYTES:
        return _bytes(value)
    if name in _RATES:
        return _rate(value)
    if name in _RANGES:
        return _ranges(value)
    if name == "signal":
        return signal_name(value)
    if name == "signals":
        return ", ".join(map(signal_name, value))
    if name == "argv":
        return shlex.join(value)
    if isinstance(value, (tuple, dict)):  # a mapping only where it is empty
        return ", ".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _seconds(number: float) -> str:
    return f"{number:g}s"


def _bytes(number: int) -> str:
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def _rate(bits: int) -> str:
    for unit, size in (("Gbit", 10**9), ("Mbit", 10**6), ("kbit", 10**3)):
        if bits % size == 0:
            return f"{bits // size}{unit}"
    return f"{bits}bit"


def _ranges(ranges: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def _order(task: Task) -> str:
    """`gather -> split -> (count-0, count-1) -> reduce; then archive`: layer by layer."""
    plans: list[str] = []
    for plan in picture_of(task).plans:
        layers = [", ".join(printable(task.processes[number].name) for number in layer) for layer in plan.layers]
        if len(layers) > 1:
            layers = [f"({text})" if len(plan.layers[depth]) > 1 else text for depth, text in enumerate(layers)]
        plans.append(("at the end " if plan.final else "") + " -> ".join(layers))
    return "; ".join(plans)


# What the fields of a process come to.


def _in_words(process: Process) -> Iterator[tuple[str, str, str]]:
    for condition in process.conditions:
        what = f"writes a line that matches /{condition.pattern}/" if condition.on == "log" else f"is {condition.on}"
        if condition.on in ("completed", "failed"):
            what = f"has {condition.on}"
        yield "=> waits", f"until {condition.process} {what}", ""
    if process.health is not None:
        yield "=> health", _health(process.health), ""
    for place, rule in enumerate(process.restart):
        yield f"=> restart[{place}]", _rule(rule), ""
    if process.stop != Stop():
        yield "=> stop", _stop(process.stop), ""


def _health(check: HealthCheck) -> str:
    what = "a command that exits with 0"
    if check.http is not None:
        port = check.http.port if check.http.port.isdigit() else f"port {check.http.port}"
        body = f" and the text {check.http.body!r}" if check.http.body is not None else ""
        what = f"GET {check.http.path} on {port} that answers {_ranges(check.http.codes)}{body}"
    elif check.tcp is not None:
        what = f"a connection to port {check.tcp.port}"
    forgiven = f"{check.max_failures} in a row are forgiven" if check.max_failures else "the first failure counts"
    return (
        f"{what}, every {_seconds(check.interval)}, within {_seconds(check.timeout)}; failures are forgiven for "
        f"{_seconds(check.initial_interval)}, after that {forgiven}; healthy from success {check.min_successes} on"
    )


def _rule(rule: Rule) -> str:
    ends: list[str] = []
    if rule.codes is not None:
        ends.append(f"exit {_ranges(rule.codes)}")
    if rule.signals is not None:
        ends.append(f"death by {' or '.join(map(signal_name, rule.signals))}")
    if rule.oom is not None:
        ends.append("out of memory" if rule.oom else "not out of memory")
    if rule.unhealthy is not None:
        ends.append("unhealthy" if rule.unhealthy else "not unhealthy")
    if rule.under is not None:
        ends.append(f"after less than {_seconds(rule.under)}")
    if rule.over is not None:
        ends.append(f"after {_seconds(rule.over)} or more")
    end = ", ".join(ends) or "any end"
    if not rule.again:
        return f"{end}: it has failed for good"
    wait = "after min_duration, longer after repeated failures"
    if rule.backoff is not None:
        backoff = rule.backoff
        most = _seconds(backoff.most)
        wait = f"after {_seconds(backoff.initial)}, each time {backoff.factor:g} times as long, {most} at most"
        wait += f", {backoff.jitter:.0%} of it left to chance" if backoff.jitter else ""
    budget = ""
    if rule.budget is not None:
        budget = f"; {rule.budget} times at most, anew after a run of {_seconds(rule.reset)}"
    return f"{end}: again {wait}{budget}"


def _stop(stop: Stop) -> str:
    whom = {"all": "everything of it", "group": "its process group", "main": "its main process"}[stop.to]
    how = f"{signal_name(stop.signal)} to {whom}" if stop.command is None else "a command run by bash"
    until = "what the task has left of its time" if stop.timeout is None else _seconds(stop.timeout)
    return f"{how}; SIGKILL after {until}"
