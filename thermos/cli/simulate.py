"""`thermos simulate`: a task rehearsed in virtual time, with whatever is wanted to go wrong."""

from __future__ import annotations

import difflib
import errno as errno_names
import os
import re
import signal
import sys
from typing import Any

import msgspec

from thermos.config.wording import printable
from thermos.core import records as r
from thermos.core import why
from thermos.core.evolve import evolve
from thermos.core.fold import Exit, ProcessState
from thermos.core.records import Record
from thermos.core.state import EXIT_STATUS, State, initial
from thermos.core.status import describe, signal_name
from thermos.core.task import Process, Task
from thermos.rehearsal import script
from thermos.rehearsal.life import History, live, runs_of
from thermos.rehearsal.script import Endless, Part, Script
from thermos.rehearsal.world import NEVER, Behaviour, Death, NothingHappens, PretendedWorld, TimeIsUp

from . import asked_file, statuses
from .kind import JSON, Argument, Cannot, Option
from .words import duration, record_as_json

HELP = """Rehearse a task: the same decisions as in earnest, in virtual time and in a pretended world.

Nothing is started. Every process succeeds after a second, and a daemon runs until it is stopped, unless an option
says something else. The exit status is that of the task; 0 where it goes on for ever.
"""

ARGUMENTS = (Argument("file", "The task file, or - for standard input."),)

_TIMES = "PROCESS[=TIMES][@S]"
OPTIONS = (
    Option(
        "fail", "Its first TIMES (1) runs fail, S seconds after each starts.", "repeatable", metavar="PROCESS=TIMES[@S]"
    ),
    Option(
        "exit",
        "Its first TIMES (1) runs exit with CODE, S seconds after each starts.",
        "repeatable",
        metavar="PROCESS=CODE[xTIMES][@S]",
    ),
    Option("oom", "Its first TIMES (1) runs are killed for want of memory.", "repeatable", metavar=_TIMES),
    Option("signal", "Its first run dies of a signal.", "repeatable", metavar="PROCESS=SIGNAL[@S]"),
    Option("unhealthy", "The health checks of its first TIMES (1) runs fail from S on.", "repeatable", metavar=_TIMES),
    Option("refuse", "Its program cannot be executed (ENOENT).", "repeatable", metavar="PROCESS[=ERRNO]"),
    Option("takes", "How long a run takes; also 'never'.", "repeatable", metavar="PROCESS=S"),
    Option("healthy", "Its health checks succeed from S on.", "repeatable", metavar="PROCESS@S"),
    Option("log", "It writes TEXT, and no other line that is waited for.", "repeatable", metavar="PROCESS=TEXT@S"),
    Option("ignore-term", "It ignores its stop signal.", "repeatable", metavar="PROCESS"),
    Option("kill", "thermos kill, at S; again for a second one.", "repeatable", metavar="@S"),
    Option(
        "kill-supervisor",
        "SIGKILL to the supervisor at S, or after record N; 'every': one life for every moment there is.",
        "repeatable",
        metavar="@S|N|every",
    ),
    Option("reboot", "The host reboots at S.", "repeatable", metavar="@S"),
    Option("disk-full", "The disk is full from S on, or for a time.", "repeatable", metavar="@S[-S]"),
    Option("until", "Look no further than this.", "seconds", metavar="S", default=3600.0),
    Option("why", "Say at each step why what does not run does not.", "flag"),
    *asked_file.OPTIONS,
    JSON,
)


_ENDS = (r.Exited, r.Refused, r.Emptied, r.Abandoned)


def run(given: dict[str, Any]) -> int:
    _, task = asked_file.understood(given)
    asked = _Asked(task, given)
    if asked.every:
        return _every_moment(asked, as_json=given["json"])
    telling = _Telling(task, as_json=given["json"], whys=given["why"])
    world = asked.world()
    telling.world = world
    ending = _live(world, asked, telling)
    telling.summary(ending)
    return EXIT_STATUS.get(telling.state.stage, 0)


class _Asked:
    """The command line, taken apart. Raises Cannot."""

    def __init__(self, task: Task, given: dict[str, Any]) -> None:
        self.task = task
        self.until: float = given["until"]
        self._processes = {process.name: process for process in task.processes}
        self.parts = {process.name: Part() for process in task.processes}
        for text in given["takes"]:
            name, value, _ = self._taken("takes", text)
            self.parts[name].takes = NEVER if value == "never" else _number("takes", text, value)
        for text in given["ignore_term"]:
            self.parts[self._known("ignore-term", text)].ignores_stop = True
        for text in given["healthy"]:
            name, _, at = self._taken("healthy", text)
            self._needs_health("healthy", name)
            self.parts[name].healthy_at = at or 0.0
        for text in given["log"]:
            name, value, at = self._taken("log", text)
            part = self.parts[name]
            part.lines = tuple(sorted([*(part.lines or ()), (at or 0.0, value)], key=lambda line: line[0]))
        for text in given["refuse"]:
            name, value, _ = self._taken("refuse", text)
            number = getattr(errno_names, value or "ENOENT", None)
            if not isinstance(number, int):
                raise Cannot(f"cannot use --refuse {text}: {value!r} is the name of no error, such as ENOENT", 2)
            self.parts[name].wrong.append((NEVER, Behaviour(refused=number)))
        for text in given["fail"]:
            process, part, times, at = self._wrong("fail", text)
            part.wrong.append((times, script.fails(process, part, at)))
        for text in given["exit"]:
            name, value, at = self._taken("exit", text)
            code, times = _code(text, value)
            part = self.parts[name]
            part.wrong.append((times, script.exits(self._processes[name], part, code, at)))
        for text in given["oom"]:
            process, part, times, at = self._wrong("oom", text)
            part.wrong.append((times, script.is_out_of_memory(process, part, at)))
        for text in given["signal"]:
            name, value, at = self._taken("signal", text)
            part = self.parts[name]
            part.wrong.append((1, script.dies(self._processes[name], part, _signal(text, value), at)))
        for text in given["unhealthy"]:
            process, part, times, at = self._wrong("unhealthy", text)
            self._needs_health("unhealthy", process.name)
            part.wrong.append((times, script.is_unhealthy(process, part, at)))
        self.requests: list[r.KillRequested | r.DiskPressure] = [
            r.KillRequested(at=_moment("kill", text), by="thermos kill") for text in given["kill"]
        ]
        for text in given["disk_full"]:
            begins, dash, ends = text.partition("-")
            full = _moment("disk-full", begins)
            self.requests.append(r.DiskPressure(at=full, why="the disk is full"))
            if dash:
                room = _number("disk-full", text, ends)
                if room <= full:
                    raise Cannot(f"cannot use --disk-full {text}: it should end after it begins", 2)
                self.requests.append(r.DiskPressure(at=room))
        self.deaths = [Death(_moment("reboot", text), reboot=True) for text in given["reboot"]]
        self.after_records: int | None = None
        self.every = False
        for text in given["kill_supervisor"]:
            if text == "every":
                self.every = True
            elif text.startswith("@"):
                self.deaths.append(Death(_moment("kill-supervisor", text)))
            elif text.isascii() and text.isdigit():
                self.after_records = int(text)
            else:
                raise Cannot(f"cannot use --kill-supervisor {text}: it should be @SECONDS, a number, or every", 2)

    def world(self) -> PretendedWorld:
        """A new one each time: a world is used up."""
        return PretendedWorld(
            self.task, Script(self.task, self.parts), self.requests, self.deaths, self.until, os.strerror
        )

    def _known(self, option: str, name: str) -> str:
        if name in self._processes:
            return name
        close = difflib.get_close_matches(name, self._processes, 3)
        hint = f"; did you mean {' or '.join(close)}?" if close else f": there are {', '.join([*self.parts][:10])}"
        raise Cannot(f"cannot use --{option} {name}: the task has no process of that name{hint}", 2)

    def _taken(self, option: str, text: str) -> tuple[str, str, float | None]:
        """NAME, VALUE and SECONDS of NAME=VALUE@SECONDS; the last two may be missing. Names may hold = and @."""
        if text in self._processes:
            return text, "", None
        head, at, seconds = text.rpartition("@")
        after: float | None = None
        if at and re.fullmatch(r"[\d.]+(ms|s|m|h)?", seconds):
            after = _number(option, text, seconds)
        else:
            head = text
        if head in self._processes:
            return head, "", after
        name, _, value = head.rpartition("=") if option != "log" else head.partition("=")
        return self._known(option, name or head), value, after

    def _wrong(self, option: str, text: str) -> tuple[Process, Part, float, float | None]:
        name, value, at = self._taken(option, text)
        if value == "always":
            return self._processes[name], self.parts[name], NEVER, at
        if value and not (value.isascii() and value.isdigit()):
            raise Cannot(f"cannot use --{option} {text}: {value!r} is no number of runs, and not 'always'", 2)
        return self._processes[name], self.parts[name], int(value or 1), at

    def _needs_health(self, option: str, name: str) -> None:
        if self._processes[name].health is None:
            raise Cannot(f"cannot use --{option} {name}: that process has no health check", 2)


def _number(option: str, text: str, value: str) -> float:
    try:
        return float(Option(option, "", "seconds").value(value))
    except ValueError as error:
        raise Cannot(f"cannot use --{option} {text}: {error}", 2) from None


def _moment(option: str, text: str) -> float:
    if not text.startswith("@"):
        raise Cannot(f"cannot use --{option} {text}: it should be @SECONDS", 2)
    return _number(option, text, text[1:])


def _code(text: str, value: str) -> tuple[int, float]:
    """CODE[xTIMES]: an exit code, and how many runs have it. An x, for a star means something to shells."""
    code, x, times = value.partition("x")
    if not (code.isascii() and code.isdigit() and int(code) <= 255):
        raise Cannot(f"cannot use --exit {text}: {code!r} is no exit code, 0 to 255", 2)
    if times == "always":
        return int(code), NEVER
    if x and not (times.isascii() and times.isdigit()):
        raise Cannot(f"cannot use --exit {text}: {times!r} is no number of runs, and not 'always'", 2)
    return int(code), int(times or 1)


def _signal(text: str, value: str) -> int:
    name = value.upper().removeprefix("SIG")
    if name.isdigit() and 0 < int(name) < signal.NSIG:
        return int(name)
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        raise Cannot(f"cannot use --signal {text}: {value!r} is no signal", 2) from None


def _live(world: PretendedWorld, asked: _Asked, telling: _Telling) -> str:
    """Live through it; why it was broken off, or nothing."""
    try:
        live(
            world,
            history=telling.history,
            after_records=asked.after_records,
            watch=telling.watch,
            died=telling.died,
            rested=telling.rested,
            patience=10_000_000,
        )
    except NothingHappens:
        return "from here on nothing changes by itself: it runs until somebody kills it (--kill @S)"
    except TimeIsUp:
        return f"it goes on; nobody looked further than {duration(asked.until)} (--until)"
    except Endless:
        return "it goes on; nobody looked further than 20000 runs"
    return ""


class _Telling:
    """The timeline, as it happens."""

    def __init__(self, task: Task, *, as_json: bool, whys: bool) -> None:
        self.task = task
        self.history = History()
        self.world: PretendedWorld | None = None
        self._as_json = as_json
        self._whys = whys
        self._records: dict[int, Record] = {}
        self._launched: dict[tuple[int, int], int] = {}
        self._skipped: set[int] = set()
        self._may_skip = any(wish.on == "failed" for process in task.processes for wish in process.conditions)
        self._reached: set[tuple[int, str]] = set()
        self._stopped: dict[tuple[int, int], int] = {}
        self._told: list[str] = []
        self._widest = min(max([4, *(len(process.name) + 2 for process in task.processes)]), 30)

    @property
    def state(self) -> State:
        assert self.history.state is not None
        return self.history.state

    def watch(self, state: State, records: tuple[Record, ...], kind: str) -> None:
        first = state.seq - len(records) + 1
        for seq, record in enumerate(records, first):
            self._records[seq] = record
            if isinstance(record, r.Launched):
                self._launched[record.process, record.run] = seq
            elif isinstance(record, r.Signalled):
                self._stopped.setdefault((record.process, record.run), seq)
            if self._as_json:
                sys.stdout.write(record_as_json(seq, record, self.task).decode())
            else:
                self._tell(state, record)
        if self._may_skip and not self._as_json:
            self._tell_skipped(state, records[-1].at)

    def died(self, death: Death) -> None:
        if not self._as_json:
            self._line(death.at, "", "the host reboots" if death.reboot else "the supervisor is killed")

    def rested(self, state: State) -> None:
        """With --why: what does not run, and why, wherever that is not what was said last."""
        if not self._whys or self._as_json or self.world is None or state.ended:
            return
        if state.forked:
            return  # what is being started is told of when it runs
        held = [
            number
            for number, process in enumerate(state.processes)
            if (
                (process.status == "waiting" and state.stage != "CLEANING")
                or number in state.stopping
                or number in state.killing
            )
            and self.task.processes[number].final == (state.stage == "FINALIZING")
        ]
        steps = why.why_each(state, held, self.world.now)
        known = [re.sub(r"\d+(\.\d+)?", "", step.text) for step in steps]
        if known != self._told:
            self._told = known
            self._tell_why(steps)

    def _tell_why(self, steps: tuple[why.Step, ...]) -> None:
        least = min((step.depth for step in steps), default=0)
        for step in steps:
            print(f"{'':11}{'':{self._widest}}  {'  ' * (step.depth - least)}- {printable(step.text)}")

    def _line(self, at: float, who: str, what: str) -> None:
        print(f"{at:8.1f}s  {printable(who):{self._widest}}  {printable(what)}".rstrip())

    def _name(self, record: Any) -> str:
        number: int = record.process
        return f"{self.task.processes[number].name}/{record.run}"

    def _tell(self, state: State, record: Record) -> None:
        match record:
            case r.StageEntered():
                self._line(record.at, "task", f"{record.stage}: {record.reason}")
                if record.stage == "CLEANING" and record.result == "FAILED":
                    self._tell_why(why.why(state, None, record.at)[1:])
            case r.KillRequested():
                self._line(record.at, "task", "thermos kill")
            case r.DiskPressure():
                self._line(record.at, "task", record.why or "there is room on the disk again")
            case r.Supervised():
                if self.history.supervisors > 1:
                    self._line(record.at, "", "a new supervisor takes charge")
            case r.Started():
                self._line(record.at, self._name(record), f"runs{self._because(record)}")
            case r.Refused():
                how = f"FAILED: cannot {record.step}: {record.message}"
                self._line(record.at, self._name(record), how + self._and_then(state, record))
            case r.Exited():
                self._line(record.at, self._name(record), self._ended(state, record) + self._and_then(state, record))
            case r.Signalled():
                self._line(record.at, self._name(record), f"gets {signal_name(record.signal)}")
            case r.Abandoned():
                self._line(record.at, self._name(record), "did not die of SIGKILL and is left behind")
            case r.Checked():
                self._tell_check(state, record)
            case r.Matched():
                self._line(record.at, self._name(record), f"writes a line that matches {record.pattern!r}")
            case _:
                pass

    def _because(self, record: r.Started) -> str:
        """What it waited for last."""
        launched = self._records.get(self._launched.get((record.process, record.run), 0))
        cause = self._records.get(launched.cause) if launched else None
        other: int = getattr(cause, "process", record.process)
        if launched is None or cause is None or other == record.process:
            return " again" if record.run else ""
        if self._gave_way(launched) is not None:
            return ", now that there is a place"
        name = self.task.processes[other].name
        match cause:
            case r.Started():
                return f", now that {name} is started"
            case r.Checked():
                return f", now that {name} is healthy"
            case r.Matched():
                return f", now that {name} has written its line"
            case _:
                return f", now that {name} is over"

    def _gave_way(self, launched: Record) -> int | None:
        """The record of the end that gave a first run its place, where it had to wait for one."""
        cause = self._records.get(launched.cause)
        if not isinstance(launched, r.Launched) or launched.run or not self.task.max_concurrency:
            return None
        if cause is None or cause.at >= launched.at:
            return None
        mine = self._launched[launched.process, launched.run]
        earlier = ((seq, self._records[seq]) for seq in range(mine - 1, launched.cause, -1))
        return next((seq for seq, end in earlier if isinstance(end, _ENDS)), None)

    def _ended(self, state: State, record: r.Exited) -> str:
        run = next((run for run in state.processes[record.process].runs if run.number == record.run), None)
        known = run.exit if run and run.exit else Exit(record.source, record.code, record.signal, why=record.why)
        return f"{run.state if run else 'ended'}: {describe(known)}"

    def _and_then(self, state: State, record: r.Exited | r.Refused) -> str:
        """What becomes of the process, where that is not plain."""
        process = state.processes[record.process]
        if process.status == "waiting" and not state.ended:
            pause = process.not_before - record.at
            return f"; again in {duration(pause)}" if pause > 0 else "; again at once"
        if _failed(process):
            return "; it has failed for good"
        return ""

    def _tell_check(self, state: State, record: r.Checked) -> None:
        run = state.processes[record.process].run
        checks = run.checks if run is not None and run.number == record.run else None
        if checks is None:
            return
        key = (record.process, f"{record.run}{checks.passed}{checks.failed}{checks.failures}")
        new = key not in self._reached
        self._reached.add(key)
        if checks.failed and new:
            self._line(record.at, self._name(record), f"is unhealthy: {checks.why}")
        elif record.ok and checks.passed and (record.process, f"{record.run} healthy") not in self._reached:
            self._reached.add((record.process, f"{record.run} healthy"))
            self._line(record.at, self._name(record), "is healthy")
        elif not record.ok and new:
            self._line(record.at, self._name(record), "fails a health check, which is forgiven")

    def _tell_skipped(self, state: State, at: float) -> None:
        for number, process in enumerate(state.processes):
            if process.status == "skipped" and number not in self._skipped:
                self._skipped.add(number)
                self._line(at, self.task.processes[number].name, "is skipped")

    def summary(self, ending: str) -> None:
        state, world = self.state, self.world
        assert world is not None
        stage = state.stage or "ACTIVE"
        path = self._path()
        if self._as_json:
            processes = [
                {"name": definition.name, "runs": process.launches, "outcome": _outcome(process, state.ended)}
                for definition, process in zip(self.task.processes, state.processes, strict=True)
            ]
            summary = {
                "state": stage,
                "reason": state.reason,
                "seconds": round(world.now, 6),
                "over": state.ended,
                "note": ending or None,
                "path": path,
                "processes": processes,
            }
            print(msgspec.json.encode({"summary": summary}).decode())
            return
        if ending:
            self._line(world.now, "", ending)
            self._tell_why(why.why(state, None, world.now))
        print()
        width = max(len("PROCESS"), *(len(printable(process.name)) for process in self.task.processes)) + 2
        print(f"{'PROCESS':{width}}{'RUNS':6}{'OUTCOME':10}HOW ITS LAST RUN ENDED")
        for definition, process in zip(self.task.processes, state.processes, strict=True):
            run = process.run
            last = describe(run.exit) if run and run.exit else "runs" if run else ""
            outcome = _outcome(process, state.ended)
            print(f"{printable(definition.name):{width}}{process.launches:<6}{outcome:10}{printable(last)}".rstrip())
        print(f"\n{stage} after {duration(world.now)}: {printable(state.reason)}")
        if path:
            print(f"what took the time: {printable(' -> '.join(path))}")

    def _path(self) -> list[str]:
        """The runs of which each had to wait for the one before it, back from the end: the critical path."""
        found: list[str] = []
        seq = self.state.stage_by
        while record := self._records.get(seq):
            number, run = getattr(record, "process", None), getattr(record, "run", 0)
            if number is None or isinstance(record, r.Launched | r.Signalled):
                seq = (self._gave_way(record) if isinstance(record, r.Launched) else None) or record.cause
                continue
            name = f"{self.task.processes[int(number)].name}/{run}"
            stop = self._stopped.get((number, run))
            if stop is not None and isinstance(record, _ENDS):
                if record.at > self._records[stop].at:
                    found.append(f"the stop of {name}")
                seq = stop
                continue
            if found[-1:] != [name]:
                found.append(name)
            seq = self._launched.get((number, run), 0)
        return found[::-1]


def _outcome(process: ProcessState, ended: bool) -> str:
    words = {"waiting": "never ran" if ended else "waiting", "live": "running"}
    return "failed" if _failed(process) else words.get(process.status, process.status)


def _failed(process: ProcessState) -> bool:
    """For good. An ephemeral one is over then, and for its task that is all that counts."""
    run = process.run
    return process.status == "failed" or (process.status == "finished" and run is not None and run.state != "SUCCESS")


def _every_moment(asked: _Asked, *, as_json: bool) -> int:
    """One life for every moment at which the supervisor may be killed, each compared with an undisturbed one."""
    undisturbed, note = _quietly(asked, frozenset())
    assert undisturbed.state is not None
    expected = _what_became(undisturbed)
    differ: list[int] = []
    for moment in range(1, undisturbed.moments + 1):
        disturbed, _ = _quietly(asked, frozenset({moment}))
        same = _what_became(disturbed) == expected
        if not same:
            differ.append(moment)
        if as_json:
            print(msgspec.json.encode({"life": {"moment": moment, **_came_to(disturbed), "same": same}}).decode())
    came_to = _came_to(undisturbed)
    if as_json:
        over = undisturbed.state.ended
        summary = {**came_to, "over": over, "note": note or None, "moments": undisturbed.moments, "differ": differ}
        print(msgspec.json.encode({"summary": summary}).decode())
    else:
        print(f"{came_to['state']} after {came_to['runs']} runs: {printable(undisturbed.state.reason)}")
        if note:
            print(note)
        lives = f"the supervisor was killed at each of {undisturbed.moments} moments, once in each life"
        if differ:
            print(f"{lives}: {len(differ)} came to another end, the first with the death at moment {differ[0]}")
        else:
            print(f"{lives}: each of them came to the same end, with the same runs")
    return statuses.FAILED if differ else EXIT_STATUS.get(undisturbed.state.stage, 0)


def _came_to(history: History) -> dict[str, object]:
    state = history.state
    assert state is not None
    return {"state": state.stage or "ACTIVE", "reason": state.reason, "runs": len(runs_of(history))}


def _quietly(asked: _Asked, crashes: frozenset[int]) -> tuple[History, str]:
    history, note = History(), ""
    try:
        live(asked.world(), history=history, crashes=crashes, patience=10_000_000)
    except (NothingHappens, TimeIsUp, Endless):
        note = "it goes on; that is as far as it was looked at"
    return history, note


def _what_became(history: History) -> object:
    state = history.state
    assert state is not None
    folded = initial(state.task)
    for record in history.records():
        evolve(folded, record)
    return state.stage, state.reason, runs_of(history)
