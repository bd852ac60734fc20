"""A scenario as text: a task and what happens to it above the line, what the core made of it below.

Above the line, one thing a line; `#` begins a remark:

    task max_failures=2 max_concurrency=1 finalization_wait=10
    process NAME [daemon] [ephemeral] [final] [after A B] [max_failures=N] [min_duration=S] [success=0,7-9]:
        RUN; RUN; ...
    NAME waits for A started|healthy|completed|failed [, B logs REGEX ...]
    NAME is checked [interval=S] [initial=S] [failures=N] [successes=N]
    NAME is stopped by INT [within S] [alone]
    NAME when codes=1,3-5|signals=SEGV|oom|unhealthy|always [under=S] [over=S] fails
    NAME when ... restarts [budget=N] [reset=S] [initial=S] [factor=N] [most=S] [jitter=N]
    at 3 kill [wait=S] [force]
    at 3 disk full, at 5 disk free
    journal compacted at rest N M ...      (the Nth time that nothing is left to decide)
    at 5 supervisor dies for 2      (it is killed before it has decided anything at that time)
    at 5 host reboots for 2

A RUN is what one run of the process does, the last one for every later run too: phrases with commas between.

    exits CODE after S | dies of SIGNAL after S | out of memory after S | runs until stopped | cannot start ERRNO
    starts in S | stops in S | exits CODE when stopped | ignores SIGTERM | cannot be killed
    leaves children for S | leaves children for ever | its children stop in S | its children ignore SIGTERM
    healthy after S | unhealthy after S | never healthy | writes TEXT after S

Below it, in the order of the journal: the time in seconds, the record's number and, in brackets, its cause's;
`<` a fact the world reported, `=` a decision; and under a decision `>` what was done because of it.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import msgspec
from fakes import NEVER, Behaviour, Death, PretendedWorld, a_process, a_task, live

from thermos.core.effects import End, Freeze, Launch, Limit, Signal, Thaw
from thermos.core.records import (
    Abandoned,
    Checked,
    DiskPressure,
    Emptied,
    Exceeded,
    Exited,
    KillRequested,
    Launched,
    Matched,
    Paused,
    Record,
    Refused,
    Sandboxed,
    Signalled,
    StageEntered,
    Started,
    Supervised,
    Unpaused,
)
from thermos.core.state import State
from thermos.core.task import Backoff, Condition, HealthCheck, Process, Rule, Stop, Task, TcpCheck
from thermos.rehearsal.world import NothingHappens, Request, TimeIsUp

#: Seconds after which a story that has no end is broken off.
UNTIL = 1000.0


@dataclass
class Scenario:
    task: Task
    runs: dict[str, list[Behaviour]]
    requests: list[Request] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    compactions: frozenset[int] = frozenset()

    def behaviour(self, name: str, run: int) -> Behaviour:
        script = self.runs[name]
        return script[min(run, len(script) - 1)]


def parse(text: str) -> Scenario:
    """Raises ValueError with the line that means nothing."""
    options: dict[str, str] = {}
    processes: dict[str, Process] = {}
    scenario = Scenario(a_task(), {})
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if not words:
            continue
        if found := re.fullmatch(r"task((?: \w+=\S+)*)", words):
            options.update(_options(found[1].split()))
        elif found := re.fullmatch(r"process (\w+)([^:]*): (.+)", words):
            processes[found[1]] = _process(found[1], found[2].split())
            scenario.runs[found[1]] = [_behaviour(run) for run in found[3].split(";")]
        elif found := re.fullmatch(r"at (\S+) kill(?: wait=(\S+))?( force)?", words):
            wait = float(found[2]) if found[2] else None
            scenario.requests.append(KillRequested(at=float(found[1]), by="kill", wait=wait, force=bool(found[3])))
        elif found := re.fullmatch(r"at (\S+) (supervisor dies|host reboots) for (\S+)", words):
            scenario.deaths.append(Death(float(found[1]), float(found[3]), found[2] == "host reboots"))
        elif found := re.fullmatch(r"at (\S+) disk (full|free)", words):
            why = "the disk is full" if found[2] == "full" else ""
            scenario.requests.append(DiskPressure(at=float(found[1]), why=why))
        elif found := re.fullmatch(r"at (\S+) (pause|unpause)", words):
            kind = Paused if found[2] == "pause" else Unpaused
            scenario.requests.append(kind(at=float(found[1]), by="somebody"))
        elif found := re.fullmatch(r"at (\S+) exceeded (.+)", words):
            scenario.requests.append(Exceeded(at=float(found[1]), why=found[2]))
        elif found := re.fullmatch(r"journal compacted at rest ([\d ]+)", words):
            scenario.compactions = frozenset(map(int, found[1].split()))
        elif (name := words.split()[0]) in processes:
            processes[name] = _more(processes[name], words.removeprefix(name).strip())
        else:
            raise ValueError(f"cannot understand the line {line!r}")
    scenario.task = a_task(
        *processes.values(),
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
        success_codes=_ranges(options.get("success", "0")),
    )


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """0,7-9"""
    return tuple((int(low), int(high or low)) for low, _, high in (part.partition("-") for part in text.split(",")))


def _more(process: Process, words: str) -> Process:
    """What a line of its own says of a process."""
    change: dict[str, object]
    if found := re.fullmatch(r"waits for (.+)", words):
        change = {"conditions": tuple(_condition(wish.split(maxsplit=1)) for wish in found[1].split(", "))}
    elif found := re.fullmatch(r"is checked((?: \w+=\S+)*)", words):
        options = _options(found[1].split())
        change = {
            "health": HealthCheck(
                tcp=TcpCheck("http"),
                interval=float(options.get("interval", 10)),
                initial_interval=float(options.get("initial", 0)),
                max_failures=int(options.get("failures", 0)),
                min_successes=int(options.get("successes", 1)),
            )
        }
    elif found := re.fullmatch(r"is stopped by (\w+)(?: within (\S+))?( alone)?", words):
        change = {
            "stop": Stop(
                signal.Signals[f"SIG{found[1]}"], "main" if found[3] else "all", float(found[2]) if found[2] else None
            )
        }
    elif found := re.fullmatch(r"when (.+) (fails|restarts)(.*)", words):
        change = {"restart": (*process.restart, _rule(found[1].split(), found[2] == "restarts", found[3].split()))}
    else:
        raise ValueError(f"cannot understand {words!r} of process {process.name}")
    return msgspec.structs.replace(process, **change)


def _condition(wish: list[str]) -> Condition:
    name, what = wish
    if what.startswith("logs "):
        return Condition(name, "log", what.removeprefix("logs "))
    assert what in ("started", "healthy", "completed", "failed"), what
    return Condition(name, what)


def _rule(when: list[str], again: bool, how: list[str]) -> Rule:
    options, whether = _options(word for word in when if "=" in word), {word for word in when if "=" not in word}
    if strange := whether - {"oom", "unhealthy", "always"}:
        raise ValueError(f"cannot understand {strange}")
    rule = Rule(
        codes=_ranges(options["codes"]) if "codes" in options else None,
        signals=tuple(signal.Signals[f"SIG{name}"] for name in options.get("signals", "").split(",") if name) or None,
        oom=True if "oom" in whether else None,
        unhealthy=True if "unhealthy" in whether else None,
        under=float(options["under"]) if "under" in options else None,
        over=float(options["over"]) if "over" in options else None,
        again=again,
    )
    more = {name: float(value) for name, value in _options(how).items()}
    for name in ("budget", "reset"):
        if name in more:
            rule = msgspec.structs.replace(rule, **{name: int(more[name]) if name == "budget" else more[name]})
    backoff = {name: value for name, value in more.items() if name in ("initial", "factor", "most", "jitter")}
    return msgspec.structs.replace(rule, backoff=Backoff(**backoff)) if backoff else rule


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
    r"healthy after (\S+)": lambda b, s: replace(b, answers=_and(b, (float(s), True))),
    r"unhealthy after (\S+)": lambda b, s: replace(b, answers=_and(b, (float(s), False))),
    r"never healthy": lambda b: replace(b, answers=((0.0, False),)),
    r"writes (.+) after (\S+)": lambda b, text, s: replace(b, lines=(*b.lines, (float(s), text))),
}


def _and(behaviour: Behaviour, answer: tuple[float, bool]) -> tuple[tuple[float, bool], ...]:
    """What a check is told first of all is only what nothing else is said of."""
    first = answer[1] and behaviour.answers == Behaviour().answers
    return (answer,) if first else (*behaviour.answers, answer)


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


def tell(scenario: Scenario) -> str:
    """What the core makes of it."""
    lines: list[str] = []
    world = PretendedWorld(
        scenario.task, scenario.behaviour, scenario.requests, scenario.deaths, until=UNTIL, strerror=os.strerror
    )
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
                case Freeze():
                    lines.append(f"{at:7g}            > freeze")
                case Thaw():
                    lines.append(f"{at:7g}            > thaw")
                case Limit():
                    raise AssertionError("nothing in a story has limits")
                case End():
                    lines.append(f"{at:7g}            > end")
        told = len(world.effects)

    def watch(state: State, records: tuple[Record, ...], kind: str) -> None:
        tell_effects()
        for seq, record in enumerate(records, state.seq - len(records) + 1):
            mark = "<" if kind == "fact" else "="
            number = f"{seq} ({record.cause})" if record.cause else str(seq)
            lines.append(f"{record.at:7g}  {number:8} {mark} {_words(record, state)}")

    def died(death: Death) -> None:
        tell_effects()
        lines.append(f"{death.at:7g}            the {'host reboots' if death.reboot else 'supervisor is killed'}")

    try:
        live(world, compactions=scenario.compactions, watch=watch, died=died, patience=1000)
    except (NothingHappens, TimeIsUp):
        lines.append(f"{world.now:7g}            and so on")
    tell_effects()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _words(record: Record, state: State) -> str:
    if isinstance(record, Launched | Started | Refused | Exited | Emptied | Signalled | Abandoned | Checked | Matched):
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
        case Checked():
            return f"{run} {'passed' if record.ok else 'failed'} a health check"
        case Matched():
            return f"{run} wrote a line that matches {record.pattern}"
        case DiskPressure():
            return record.why or "there is room again"
        case Paused():
            return f"{record.by} pauses everything"
        case Unpaused():
            return f"everything goes on by {record.by}"
        case Exceeded():
            return f"the task has to end: {record.why}"
        case Abandoned():
            return f"{run} outlived SIGKILL and is left behind"
