"""Kills supervisor, keeper or both at a named point, to show that nothing is lost by it. For tests and `scripts/soak`.

Nothing of this is loaded unless THERMOS_FAULTS is set, to a directory:

    trace        if it is there: every point that is passed, a line each: <who> <point>
    plan         what to do: <who> <nth> <victims> <point>; victims: names joined by +, or `self`
    fired-<n>    line n of the plan was carried out; each is once
    pid-<who>    the process that is <who> now

<who> is run (before it has become the keeper), keeper, supervisor or child (one that was forked and does not execute
its program yet). A point is `before ...` or `after ...` one thing that can be seen from outside: a write to journal or
ledger, a message, a fork, a group made or removed. The nth time counts within the life of one process.
"""

from __future__ import annotations

import os

from sandbox import spawn
from sandbox.cgroups import tree

from . import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Sequence
    from typing import Any
else:
    import _signal

VARIABLE = "THERMOS_FAULTS"


class _Faults:
    def __init__(self, directory: str, who: str) -> None:
        # A child that has gone inside the sandbox sees no path to it.
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.who = who
        self._passed: dict[str, int] = {}
        self._plan = [line.split(" ", 3) for line in self._lines("plan")]
        self._traces = os.path.exists(f"{directory}/trace")
        self._write(f"pid-{os.getpid()}", os.O_TRUNC, str(os.getpid()))
        os.rename(f"pid-{os.getpid()}", f"pid-{who}", src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def _lines(self, name: str) -> list[str]:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except FileNotFoundError:
            return []
        with open(fd, encoding="utf-8") as file:
            return file.read().splitlines()

    def _pid(self, who: str) -> int:
        """0: there is none yet."""
        return int("".join(self._lines(f"pid-{who}")) or 0)

    def _write(self, name: str, flags: int, text: str) -> None:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o666, dir_fd=self._directory)
        os.write(fd, text.encode())
        os.close(fd)

    def pass_by(self, point: str) -> None:
        """This process is at a point, and may not live beyond it."""
        if self._traces:
            self._write("trace", os.O_APPEND, f"{self.who} {point}\n")
        times = self._passed[point] = self._passed.get(point, 0) + 1
        for number, (who, nth, victims, planned) in enumerate(self._plan):
            if (who, int(nth), planned) == (self.who, times, point) and self._first(number):
                self._kill(victims.split("+"))

    def _first(self, number: int) -> bool:
        try:
            self._write(f"fired-{number}", os.O_EXCL, "")
        except FileExistsError:
            return False
        return True

    def _kill(self, victims: list[str]) -> None:
        """All of them before one can do anything about another's end; ourselves last."""
        pids = [os.getpid() if who in ("self", self.who) else self._pid(who) for who in victims]
        pids = [pid for pid in pids if pid]
        for number in (_signal.SIGSTOP, _signal.SIGKILL):
            for pid in pids:
                if pid != os.getpid():
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        pass
        if os.getpid() in pids:
            os.kill(os.getpid(), _signal.SIGKILL)


_faults: _Faults


def _around(owner: Any, name: str, label: Callable[..., str], who: str = "") -> None:
    """Make a point before and one after each call of a function. `who`: it is called in that one only."""
    call = getattr(owner, name)

    def wrapped(*arguments: Any, **more: Any) -> Any:
        if who:
            _faults.who = who
        point = label(*arguments)
        _faults.pass_by(f"before {point}")
        result = call(*arguments, **more)
        _faults.pass_by(f"after {point}")
        return result

    setattr(owner, name, wrapped)


def _received(self: wire.Wire) -> list[tuple[tuple[Any, ...], tuple[int, ...]]]:
    messages = _receive(self)
    for message, _ in messages:
        _faults.pass_by(f"after receive {_message(None, message)}")
    return messages


_receive = wire.Wire.receive


def _message(_: object, message: tuple[Any, ...], *more: object) -> str:
    """A message's name, and the run it is about."""
    name, *rest = message
    if name in ("prepared", "end"):
        return str(name)
    if name == "signal" and len(rest) > 2:
        rest = rest[1:]
    return " ".join([name, *(str(word) for word in rest[:2] if isinstance(word, int))])


def _append(_: object, records: Sequence[Any], *more: object) -> str:
    return "append " + " ".join(map(_record, records))


def _record(record: Any) -> str:
    words = [getattr(record, name, "") for name in ("process", "run", "stage")]
    return "/".join([type(record).__name__, *(str(word) for word in words if word != "")])


def _line(_: object, name: str, *words: object) -> str:
    return f"ledger {name}" if name in ("boot", "first", "made") else f"ledger {name} {words[0]} {words[1]}"


def _named(name: str) -> Callable[..., str]:
    """A label for a function, always the same."""

    def label(*_: object) -> str:
        return name.strip("_").replace("_", " ")

    return label


def _at(name: str) -> Callable[..., str]:
    """A label for a step that takes a Place first: where it is, tells of which run it is."""

    def label(place: spawn.Place, *_: object) -> str:
        return f"{name.strip('_').replace('_', ' ')} {place.logs}"

    return label


def _execute(argv: list[str], env: dict[str, str]) -> str:
    return f"execute {env.get('THERMOS_PROCESS')} {env.get('THERMOS_RUN')}"


def install(who: str) -> None:
    """From here on this process may be killed where the plan says."""
    global _faults
    _faults = _Faults(os.environ[VARIABLE], who)
    if who == "run":
        from . import accept, ground, images, limits

        for owner, name in (
            (images, "prepare"),
            (accept, "reserve_ports"),
            (limits, "isolate"),
            (ground, "limit_disk"),
            (accept, "become_keeper"),
        ):
            _around(owner, name, _named(name))
        _around(accept.Place, "settle", _named("settle"))
        return
    _around(wire.Wire, "send", _message)
    wire.Wire.receive = _received  # type: ignore[method-assign]
    if who == "supervisor":
        from thermos.checkpoint import writing

        _around(writing.Writer, "append", _append)
        for name in ("compact", "sync"):
            _around(writing.Writer, name, _named(name))
        return
    from . import ledger, programs

    _around(programs.Program, "ask", _named("ask a program"))
    _around(ledger.Ledger, "append", _line)
    _around(ledger.Ledger, "rewrite", _named("rewrite the ledger"))
    for name in ("make_leaf", "kill", "remove", "remove_tree"):
        _around(tree, name, _named(name))
    _around(spawn, "fork", _at("fork"))
    _around(spawn, "fork_first", _named("fork_first"))
    for name in ("go", "dismiss"):
        _around(spawn.Child, name, _named(name))
    for name in ("_take_place", "_go_inside"):
        _around(spawn, name, _at(name), "child")
    _around(spawn, "_exec", _execute, "child")
