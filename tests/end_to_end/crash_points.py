"""Lives of one task with deaths in them: at every point there is, one after another, or at random ones.

As a program, `crash_points.py DIRECTORY` lives through the story in DIRECTORY/story.json and prints what came of it.
What the task leaves behind ends up with this process, which is a subreaper and lets the dead lie until the end: so how
a process ended can be known even when nobody of ours saw it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from host_mounts import mounts  # noqa: E402
from real_program import Program, gone, groups  # noqa: E402

from sandbox import syscalls  # noqa: E402
from thermos.checkpoint import tasks  # noqa: E402
from thermos.core.status import RunStatus  # noqa: E402

#: The agent starts the same command so many times before it gives up. Each death costs one.
ATTEMPTS = 12


@dataclass
class Story:
    """A task, what is asked of it, and who dies when (lines of `plan`, as `thermos.runtime.faults` reads them)."""

    task: dict[str, Any]
    plan: list[str] = field(default_factory=list)
    kill_when: str = ""  # a file in the sandbox: when it is there, `kill` is asked for ...
    kill: list[str] = field(default_factory=list)  # ... with these options
    options: list[str] = field(default_factory=list)  # of `run`
    random_kills: list[str] = field(default_factory=list)  # "<seconds since the one before> <victims>"


@dataclass
class Outcome:
    """What a life came to. Two lives of one story should be equal, whoever died in them."""

    status: int = 0  # exit status of the last `run`
    state: str = ""
    runs: dict[str, list[str]] = field(default_factory=dict)  # process -> how each run ended
    ran: list[str] = field(default_factory=list)  # what the processes themselves say was executed
    left: list[str] = field(default_factory=list)  # what should not be there any more


@dataclass
class Life:
    outcome: Outcome
    fired: int  # lines of the plan that were carried out
    trace: list[str]
    sources: list[str]  # how the ends became known
    said: str  # on standard error


def live(directory: Path, story: Story) -> Life:
    syscalls.set_child_subreaper()
    before = mounts(directory)
    faults = directory / "faults"
    faults.mkdir()
    (faults / "trace").touch()
    (faults / "plan").write_text("".join(f"{line}\n" for line in story.plan))
    program = Program(directory)
    program.environment["THERMOS_FAULTS"] = str(faults)
    file = program.write(**story.task)
    outcome = Outcome()
    killer: subprocess.Popen[bytes] | None = None
    kills = Kills(program, story.random_kills)
    kills.start()
    for _ in range(ATTEMPTS):
        with (directory / "said").open("a+") as standard_error:
            run = program.start("run", file, "--task-id", program.id, *story.options, stderr=standard_error)
            while True:
                if story.kill_when and killer is None and (program.sandbox / story.kill_when).exists():
                    killer = subprocess.Popen(
                        [sys.executable, "-c", _KILLER, program.id, str(program.root), *story.kill]
                    )
                try:
                    outcome.status = run.wait(0.02 if story.kill_when and killer is None else 60)
                    break
                except subprocess.TimeoutExpired:
                    if killer is not None or not story.kill_when:
                        raise
        if outcome.status >= 0:
            break
    if killer is not None:
        killer.wait(60)
    kills.over.set()
    kills.join()
    status = tasks.status(str(program.root), program.id)
    program.records()
    outcome.state = status.state
    outcome.runs = {process.name: [_end(run) for run in process.runs] for process in status.processes}
    outcome.ran = sorted(program.ran())
    outcome.left = _left(program, before)
    return Life(
        outcome=outcome,
        fired=kills.done + len(list(faults.glob("fired-*"))),
        trace=(faults / "trace").read_text().splitlines(),
        sources=[run.exit.source for process in status.processes for run in process.runs if run.exit],
        said=(directory / "said").read_text(),
    )


class Kills(threading.Thread):
    """Kills who is there of a task's two, at times of their own, while it lives."""

    def __init__(self, program: Program, kills: list[str]) -> None:
        super().__init__(daemon=True)
        self._program = program
        self._faults = Path(program.environment["THERMOS_FAULTS"])
        self._kills = [(float(at), names.split("+")) for at, names in (kill.split(" ") for kill in kills)]
        self.over = threading.Event()
        self.done = 0

    def run(self) -> None:
        for after, names in self._kills:
            if self.over.wait(after):
                return
            victims = [pid for name in names if (pid := self._pid(name))]
            self._program.kill(*victims)
            self.done += bool(victims)

    def _pid(self, name: str) -> int:
        """Who is it now; 0: nobody is. What a keeper has forked looks like one, so it is asked who says so."""
        try:
            pid = int((self._faults / f"pid-{name}").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            return 0
        return pid if f"thermos.runtime.{name}" in words and not gone(pid) else 0


#: An operator who asks until somebody has heard it.
_KILLER = f"""
import subprocess, sys, time
task_id, root, *options = sys.argv[1:]
thermos = {str(Path(sys.executable).with_name("thermos"))!r}
for _ in range(200):
    if subprocess.run([thermos, "kill", task_id, "--root", root, *options], capture_output=True).returncode == 0:
        break
    time.sleep(0.05)
"""


def _end(run: RunStatus) -> str:
    return f"{run.state} {run.exit.code} {run.exit.signal}" if run.exit else run.state


def _left(program: Program, mounts_before: list[str]) -> list[str]:
    """What is left of a task that has ended, but for its directory."""

    def living() -> list[str]:
        return [command for pid, command in program.alive().items() if not gone(pid) and "crash_points" not in command]

    deadline = time.monotonic() + 20
    while (living() or groups(program)) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [f"process {command}" for command in living()]
    left += [f"group {group}" for group in groups(program)]
    left += [f"mount {mount}" for mount in mounts(program.base) if mount not in mounts_before]
    left += [f"socket {path}" for path in program.root.rglob("*") if path.is_socket()]
    left += [f"port {path.name}" for path in (program.root / "ports").glob("*")]
    left += [f"temporary {path}" for path in [*program.root.glob("tasks/.*"), *program.root.rglob("*.new")]]
    left += [f"unfinished {path}" for path in (program.root / "new").glob("*")]
    return left


# -- many lives


@dataclass(frozen=True)
class Death:
    """One line of a plan."""

    who: str
    nth: int
    point: str
    victims: str

    def __str__(self) -> str:
        return f"{self.who} {self.nth} {self.victims} {self.point}"


def deaths(trace: Iterable[str], thorough: bool) -> Iterator[Death]:
    """Everybody's deaths at every point of a life. `thorough`: also where it differs little from the one before:

    after a thing was done, and not only before the next one; and of the one who is not at that point, but looks on.
    """
    passed: Counter[str] = Counter()
    for line in trace:
        passed[line] += 1
        who, point = line.split(" ", 1)
        victims = ["keeper+supervisor"]
        if who == "run":
            victims = ["self"]
        elif who in ("keeper", "supervisor"):
            victims += ["self", "supervisor" if who == "keeper" else "keeper"][: 2 if thorough else 1]
        elif thorough:
            victims += ["keeper"]
        if thorough or point.startswith("before"):
            yield from (Death(who, passed[line], point, names) for names in victims)


def _deaths_of(story: Story) -> list[str]:
    return story.plan + story.random_kills


class Lives:
    """Lives of one story, in directories below `base`; those that came to what they should are removed."""

    def __init__(self, base: Path, story: Story) -> None:
        self._base = base
        self.story = story
        self._lives = 0
        self.undisturbed = self.live(story)

    def live(self, story: Story) -> Life:
        self._lives += 1
        directory = self._base / f"life-{self._lives}"
        directory.mkdir(parents=True)
        (directory / "story.json").write_text(json.dumps(asdict(story)))
        done = subprocess.run(
            [sys.executable, __file__, str(directory)], capture_output=True, text=True, timeout=240, check=False
        )
        if done.returncode:
            raise AssertionError(f"{_deaths_of(story)} in {directory}: {done.stderr}")
        told = json.loads(done.stdout)
        life = Life(**{**told, "outcome": Outcome(**told["outcome"])})
        if self._lives == 1 or life.outcome == self.undisturbed.outcome:
            shutil.rmtree(directory)
        else:
            life.said += f"(all of it is in {directory})"
        return life

    def compare(self, story: Story) -> tuple[Life, str]:
        """Another life, and in what it came to something else; empty: in nothing."""
        life = self.live(story)
        should, came = asdict(self.undisturbed.outcome), asdict(life.outcome)
        differ = [f"{key} is {came[key]}, not {should[key]}" for key in should if came[key] != should[key]]
        return life, f"{_deaths_of(story)}: {'; '.join(differ)}; {life.said}" if differ else ""

    def wrong(self, plan: list[Death]) -> str:
        story = replace(self.story, plan=[str(death) for death in plan])
        try:
            return self.compare(story)[1]
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return f"{story.plan}: {error}"

    def all_wrong(self, plans: Iterable[list[Death]], at_once: int = 3) -> list[str]:
        with ThreadPoolExecutor(at_once) as pool:
            return [wrong for wrong in pool.map(self.wrong, plans) if wrong]


def main() -> None:
    directory = Path(sys.argv[1])
    story = Story(**json.loads((directory / "story.json").read_text()))
    life = live(directory, story)
    print(json.dumps(asdict(life)))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
