"""A scenario as text: a task and what happens to it above the line, what the core made of it below.

Above the line, one thing a line; `#` begins a remark:

    task max_failures=2 max_concurrency=1 finalization_wait=10
    process NAME [daemon] [ephemeral] [final] [after A B] [max_failures=N] [min_duration=S]: RUN; RUN; ...
    at 3 kill [wait=S] [force]
    at 5 supervisor dies for 2      (it is killed before it has decided anything at that time)
    at 5 host reboots for 2

A RUN is what one run of the process does, the last one for every later run too: phrases with commas between.

    exits CODE after S | dies of SIGNAL after S | out of memory after S | runs until stopped | cannot start ERRNO
    starts in S | stops in S | exits CODE when stopped | ignores SIGTERM | cannot be killed
    leaves children for S | leaves children for ever | its children stop in S | its children ignore SIGTERM

Below it, in the order of the journal: the time in seconds, the record's number and, in brackets, its cause's;
`<` a fact the world reported, `=` a decision; and under a decision `>` what was done because of it.
"""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from fakes import NEVER, Behaviour, Crash, FakeWorld, History, Supervisor, a_process, a_task

from thermos.core.effects import End, Launch, Signal
from thermos.core.records import (
    Abandoned,
    Emptied,
    Exited,
    KillRequested,
    Launched,
    Record,
    Refused,
    Sandboxed,
    Signalled,
    StageEntered,
    Started,
    Supervised,
)
from thermos.core.state import State, initial
from thermos.core.task import Process, Task


@dataclass
class Scenario:
    task: Task
    runs: dict[str, list[Behaviour]]
    kills: list[KillRequested] = field(default_factory=list)
    deaths: list[tuple[float, float, bool]] = field(default_factory=list)  # at, for how long, whether the host reboots

    def behaviour(self, name: str, run: int) -> Behaviour:
        script = self.runs[name]
        return script[min(run, len(script) - 1)]


def parse(text: str) -> Scenario:
    """Raises ValueError with the line that means nothing."""
    options: dict[str, str] = {}
    processes: list[Process] = []
    scenario = Scenario(a_task(), {})
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if not words:
            continue
        if found := re.fullmatch(r"task((?: \w+=\S+)*)", words):
            options.update(_options(found[1].split()))
        elif found := re.fullmatch(r"process (\w+)([^:]*): (.+)", words):
            processes.append(_process(found[1], found[2].split()))
            scenario.runs[found[1]] = [_behaviour(run) for run in found[3].split(";")]
        elif found := re.fullmatch(r"at (\S+) kill(?: wait=(\S+))?( force)?", words):
            wait = float(found[2]) if found[2] else None
            scenario.kills.append(KillRequested(at=float(found[1]), by="kill", wait=wait, force=bool(found[3])))
        elif found := re.fullmatch(r"at (\S+) (supervisor dies|host reboots) for (\S+)", words):
            scenario.deaths.append((float(found[1]), float(found[3]), found[2] == "host reboots"))
        else:
            raise ValueError(f"cannot understand the line {line!r}")
    scenario.task = a_task(
        *processes,
        max_failures=int(options.pop("max_failures", 1)),
        max_concurrency=int(options.pop("max_concurrency", 0)),
        finalization_wait=float(options.pop("finalization_wait", 30)),
    )
    if options:
        raise ValueError(f"a task has no {', '.join(options)}")
    return scenario


def _process(name: str, words: list[str]) -> Process:
    flags = {word for word in words if word in ("daemon", "ephemeral", "final")}
    options = _options(word for word in words if "=" in word)
    rest = [word for word in words if word not in flags and "=" not in word]
    if rest[:1] not in ([], ["after"]):
        raise ValueError(f"cannot understand {' '.join(rest)!r} of process {name}")
    return a_process(
        name,
        after=tuple(rest[1:]),
        max_failures=int(options.get("max_failures", 1)),
        min_duration=float(options.get("min_duration", 0)),
        daemon="daemon" in flags,
        ephemeral="ephemeral" in flags,
        final="final" in flags,
    )


def _options(words: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


_PHRASES: dict[str, Callable[..., Behaviour]] = {
    r"exits (\d+) after (\S+)": lambda b, code, s: replace(b, code=int(code), seconds=float(s)),
    r"dies of (\w+) after (\S+)": lambda b, name, s: replace(b, signal=signal.Signals[name], seconds=float(s)),
    r"out of memory after (\S+)": lambda b, s: replace(b, signal=signal.SIGKILL, oom=True, seconds=float(s)),
    r"runs until stopped": lambda b: replace(b, seconds=NEVER),
    r"cannot start (\w+)": lambda b, name: replace(b, refused=getattr(errno, name)),
    r"starts in (\S+)": lambda b, s: replace(b, starts_in=float(s)),
    r"stops in (\S+)": lambda b, s: replace(b, stops_in=float(s)),
    r"exits (\d+) when stopped": lambda b, code: replace(b, stop_code=int(code)),
    r"ignores SIGTERM": lambda b: replace(b, stops_in=NEVER),
    r"cannot be killed": lambda b: replace(b, stops_in=NEVER, unkillable=True),
    r"its children stop in (\S+)": lambda b, s: replace(b, stays=float(s)),
    r"its children ignore SIGTERM": lambda b: replace(b, stays=NEVER),
    r"leaves children for ever": lambda b: replace(b, leaves=NEVER),
    r"leaves children for (\S+)": lambda b, s: replace(b, leaves=float(s)),
}


def _behaviour(text: str) -> Behaviour:
    behaviour = Behaviour()
    for phrase in text.split(","):
        for pattern, change in _PHRASES.items():
            if found := re.fullmatch(pattern, phrase.strip()):
                behaviour = change(behaviour, *found.groups())
                break
        else:
            raise ValueError(f"cannot understand {phrase.strip()!r}")
    return behaviour


class MortalWorld(FakeWorld):
    """A world in which the supervisor dies at given times, whatever it waits for."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario.task, scenario.behaviour, scenario.kills)
        self.deaths = sorted(scenario.deaths)

    def wait(self, wake_at: float | None) -> list[Record]:
        death_at = self.deaths[0][0] if self.deaths else NEVER
        facts = super().wait(min(NEVER if wake_at is None else wake_at, death_at))
        if self.now >= death_at:
            raise Crash
        return facts


def tell(scenario: Scenario) -> str:
    """What the core makes of it."""
    lines: list[str] = []
    world = MortalWorld(scenario)
    history = History()
    told = 0

    def tell_effects() -> None:
        nonlocal told
        for at, effect in world.effects[told:]:
            match effect:
                case Launch(process, run):
                    lines.append(f"{at:7g}            > launch {scenario.task.processes[process].name}/{run}")
                case Signal(process, run, signo, _):
                    name = scenario.task.processes[process].name
                    lines.append(f"{at:7g}            > send {signal.Signals(signo).name} to {name}/{run}")
                case End():
                    lines.append(f"{at:7g}            > end")
        told = len(world.effects)

    def watch(state: State, records: tuple[Record, ...], kind: str) -> None:
        tell_effects()
        for seq, record in enumerate(records, state.seq - len(records) + 1):
            mark = "<" if kind == "fact" else "="
            number = f"{seq} ({record.cause})" if record.cause else str(seq)
            lines.append(f"{record.at:7g}  {number:8} {mark} {_words(record, state)}")

    while True:
        supervisor = Supervisor(world, history, lambda: None, lambda: False, watch, initial(scenario.task))
        try:
            supervisor.live(patience=1000)
        except Crash:
            at, downtime, reboot = world.deaths.pop(0)
            tell_effects()
            lines.append(f"{at:7g}            the {'host reboots' if reboot else 'supervisor is killed'}")
            if reboot:
                world.reboot()
            world.sleep(downtime)
            continue
        tell_effects()
        return "\n".join(line.rstrip() for line in lines) + "\n"


def _words(record: Record, state: State) -> str:
    if isinstance(record, Launched | Started | Refused | Exited | Emptied | Signalled | Abandoned):
        run = f"{state.task.processes[record.process].name}/{record.run}"
    else:
        run = ""
    match record:
        case Supervised():
            return "a supervisor takes charge"
        case Sandboxed():
            return "the sandbox is made"
        case StageEntered():
            return f"{record.stage}: {record.reason}"
        case KillRequested():
            wait = "" if record.wait is None else f", to take no more than {record.wait:g}"
            return f"a kill is requested{wait}{', by force' if record.force else ''}"
        case Launched():
            return f"{run} is to be launched"
        case Started():
            return f"{run} runs"
        case Refused():
            return f"{run} cannot {record.step}: {record.message}"
        case Exited():
            how = f"exited with {record.code}"
            if record.source == "unknown":
                how = f"ended, nobody knows how: {record.why}"
            elif record.signal is not None:
                how = f"died of {signal.Signals(record.signal).name}{' for want of memory' if record.oom else ''}"
            return f"{run} {how}{' and leaves children' if record.lingers else ''}"
        case Emptied():
            return f"{run} has no children left"
        case Signalled():
            return f"{run} is to get {signal.Signals(record.signal).name}"
        case Abandoned():
            return f"{run} outlived SIGKILL and is left behind"
