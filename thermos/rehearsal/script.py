"""What the processes of a rehearsed task do: what somebody wants to see go wrong, and everything else well.

Runs that go wrong come first, one kind after another in the order in which they were asked for; the runs after them
end well after their time, or run until they are stopped where the process is a daemon. A run is healthy from its
start, and a line that somebody waits for is written at its start, unless something else is said.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace

from thermos.core.task import Process, Task

from .world import NEVER, Behaviour


class Endless(Exception):
    """So many runs have been started that nobody will look at them all."""


@dataclass
class Part:
    """What is known of one process's part."""

    takes: float | None = None  # None: a second, or as long as nobody stops it where it is a daemon
    wrong: list[tuple[float, Behaviour]] = field(default_factory=list[tuple[float, Behaviour]])  # how many runs are so
    healthy_at: float = 0.0
    lines: tuple[tuple[float, str | None], ...] | None = None
    ignores_stop: bool = False


@dataclass
class Script:
    """`script(name, run)` is what the pretended world asks."""

    task: Task
    parts: dict[str, Part]
    most_runs: int = 20_000
    _runs: int = 0

    def __call__(self, name: str, run: int) -> Behaviour:
        """Raises Endless."""
        self._runs += 1
        if self._runs > self.most_runs:
            raise Endless
        part = self.parts[name]
        left = run
        for times, behaviour in part.wrong:
            if left < times:
                return self._complete(behaviour, part)
            left -= int(min(times, run + 1))
        process = next(process for process in self.task.processes if process.name == name)
        return self._complete(Behaviour(seconds=usual_seconds(process, part), code=success_of(process)), part)

    def _complete(self, behaviour: Behaviour, part: Part) -> Behaviour:
        answers = behaviour.answers
        if answers == ((0.0, True),) and part.healthy_at:
            answers = ((part.healthy_at, True),)
        lines = ((0.0, None),) if part.lines is None else part.lines
        stops_in = NEVER if part.ignores_stop else behaviour.stops_in
        return replace(behaviour, answers=answers, lines=lines, stops_in=stops_in)


def usual_seconds(process: Process, part: Part) -> float:
    if part.takes is not None:
        return part.takes
    return NEVER if process.daemon else 1.0


def success_of(process: Process) -> int:
    """A code that is a success."""
    return process.success_codes[0][0] if process.success_codes else 0


def failure_of(process: Process) -> int:
    """A code that is none: 1, if it is not."""
    codes: list[int] = [*range(1, 256), 0]
    return next(code for code in codes if not any(low <= code <= high for low, high in process.success_codes))


def fails(process: Process, part: Part, after: float | None) -> Behaviour:
    return Behaviour(seconds=_when(process, part, after), code=failure_of(process))


def exits(process: Process, part: Part, code: int, after: float | None) -> Behaviour:
    """`code` may be that of a success as well."""
    return Behaviour(seconds=_when(process, part, after), code=code)


def is_out_of_memory(process: Process, part: Part, after: float | None) -> Behaviour:
    return Behaviour(seconds=_when(process, part, after), code=None, signal=signal.SIGKILL, oom=True)


def dies(process: Process, part: Part, signo: int, after: float | None) -> Behaviour:
    return Behaviour(seconds=_when(process, part, after), code=None, signal=signo)


def is_unhealthy(process: Process, part: Part, after: float | None) -> Behaviour:
    """It goes on as usual, but for what its health check is told."""
    answers = ((0.0, True), (after, False)) if after else ((0.0, False),)
    return Behaviour(seconds=usual_seconds(process, part), code=success_of(process), answers=answers)


def _when(process: Process, part: Part, after: float | None) -> float:
    usual = usual_seconds(process, part)
    return after if after is not None else 1.0 if usual == NEVER else usual
