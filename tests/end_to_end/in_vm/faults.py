"""Runs inside a virtual machine: does to it what may not be done to the host, and tells what came of it.

It judges nothing; tests/end_to_end/test_faults_machine.py does. The arguments are a
directory of the host that survives the machine, and the stories to tell.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cgroup_v2 import BASE, plain, program, seen, subreaper, waiting
from deadline import until
from real_program import RAN, Program, gone
from telling import tell_all

from sandbox.syscalls import mount
from thermos.core import records as r
from thermos.runtime.identity import boot_id

YEAR = 365 * 86400
PID_MAX = Path("/proc/sys/kernel/pid_max")

Facts = dict[str, Any]


def main(kept: str, *stories: str) -> None:
    BASE.mkdir()
    KEPT.mkdir()
    mount("none", str(KEPT), "hostfs", data=kept)
    tell_all({name: STORIES[name] for name in stories})


# -- the clock


def set_clock(seconds: float) -> None:
    """Set the machine's clock forward, or back."""
    time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)


def times(p: Program) -> list[tuple[str, float]]:
    """Every record's kind and time, in the order of the journal."""
    return [(type(record).__name__, record.at) for record in p.records()]


def clock_set_while_it_runs() -> Facts:
    """A year forward and two back, while one process runs and another is tried again, a second after it failed."""
    p = program("clock")
    flaky = {"name": "flaky", "cmdline": RAN + "[ $THERMOS_RUN = 2 ]", "max_failures": 0, "min_duration": 1}
    run = p.begin([waiting("first"), flaky, plain("after", after=["flaky"])], "--isolation", "none")
    for number, jump in enumerate((YEAR, -2 * YEAR)):
        until(lambda number=number: f"flaky {number}" in p.ran(), f"run {number} of flaky did not come")
        set_clock(jump)
    until(lambda: "after 0" in p.ran(), "what follows did not run")
    p.touch("go-first")
    return seen(p, run) | {"times": times(p)}


def clock_set_between_supervisors() -> Facts:
    """Each new supervisor finds another year; then both are killed, and the one who takes over does too."""
    p = program("clock-between")
    subreaper(True)
    try:
        p.begin([waiting("first", "exit 0"), plain("after", after=["first"])], "--isolation", "none")
        until(lambda: p.started(), "first did not start")
        for number, jump in enumerate((YEAR, -2 * YEAR), 2):
            keeper = p.keeper()
            os.kill(keeper, signal.SIGSTOP)
            p.kill(p.supervisor())
            set_clock(jump)
            os.kill(keeper, signal.SIGCONT)
            until(lambda number=number: supervisors(p) == number, "there is no new supervisor")
        p.kill(p.keeper(), p.supervisor())
        set_clock(YEAR)
        run = p.start("resume", p.id)
        until(lambda: supervisors(p) == 4, "nobody took over")
        p.touch("go-first")
        return seen(p, run) | {"times": times(p)}
    finally:
        subreaper(False)


def supervisors(p: Program) -> int:
    return sum(isinstance(record, r.Supervised) for record in p.records())


# -- numbers for processes


#: Waits for SIGCONT with nothing forked, and fails the first time; a second later it is tried again.
LATE = {
    "name": "late",
    "cmdline": RAN + "[ $THERMOS_RUN -gt 0 ] || { kill -STOP $$; exit 1; }",
    "max_failures": 0,
    "min_duration": 1,
}


def go_on(p: Program, process: int) -> None:
    """Continue a process that has stopped itself."""
    pid = until(lambda: p.started(process), "it did not start").pid
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it did not stop")
    os.kill(pid, signal.SIGCONT)


def refused(p: Program) -> bool:
    return any(isinstance(record, r.Refused) for record in p.records())


def group_full() -> Facts:
    """The task's own limit on processes is used up by one of them, when another is to be started."""
    p = program("group-full")
    crowd = (
        "import os, time\n"
        "while not os.path.exists('go'):\n"
        "    try:\n"
        "        if not os.fork():\n"
        "            while not os.path.exists('go'): time.sleep(0.05)\n"
        "            os._exit(0)\n"
        "    except BlockingIOError:\n"
        "        open('full', 'w').close()\n"
        "        time.sleep(0.05)\n"
    )
    run = p.begin([{"name": "crowd", "argv": [sys.executable, "-c", crowd]}, LATE], resources={"pids": 20})
    until((p.sandbox / "full").exists, "it is not full")
    go_on(p, 1)
    until(lambda: refused(p), "late could be started")
    p.touch("go")
    return seen(p, run)


@contextmanager
def no_pid_left() -> Iterator[None]:
    """The machine has no number for another process."""
    before = PID_MAX.read_text()
    PID_MAX.write_text("400")
    hogs: list[int] = []
    try:
        while True:
            pid = os.fork()
            if not pid:
                signal.pause()
            hogs.append(pid)
    except BlockingIOError:
        pass
    try:
        yield
    finally:
        for pid in hogs:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        PID_MAX.write_text(before)


def machine_full() -> Facts:
    """The machine has no pid left when a process is to be started."""
    p = program("machine-full")
    run = p.begin([plain("first"), LATE], "--isolation", "none")
    until(lambda: {"first 0", "late 0"} <= set(p.ran()), "they did not run")
    with no_pid_left():
        go_on(p, 1)
        until(lambda: refused(p), "late could be started")
    return seen(p, run)


def machine_full_when_the_supervisor_dies() -> Facts:
    """The keeper cannot start another one, for now."""
    p = program("machine-full-supervisor")
    first = {"name": "first", "cmdline": RAN + "kill -STOP $$"}
    run = p.begin([first, plain("after", after=["first"])], "--isolation", "none")
    pid = until(lambda: p.started(), "first did not start").pid
    supervisor = p.supervisor()
    with no_pid_left():
        p.kill(supervisor)
        go_on(p, 0)
        until(lambda: gone(pid), "first did not end")
    return seen(p, run)


# -- a reboot


KEPT = Path("/var/tmp/kept")


def rebooting(name: str) -> Program:
    """A program whose root survives the machine."""
    base = KEPT / name
    base.mkdir(exist_ok=True)
    p = Program(base)
    p.id = name
    return p


def before_the_reboot() -> Facts:
    """One has ended, one runs, one waits for that; then the power goes."""
    p = rebooting("rebooted")
    p.begin([plain("first"), waiting("second", after=["first"]), plain("third", after=["second"])])
    until(lambda: "second 0" in p.ran() and p.started(1), "second did not run")
    return {"boot": boot_id(), "ran": p.ran(), "group": json.loads((p.directory / "task.json").read_text())["cgroups"]}


def after_the_reboot() -> Facts:
    p = rebooting("rebooted")
    before = p.status()["state"], p.status()["supervised"]
    taken = p.done("resume", "--all")
    until(lambda: "second 1" in p.ran(), "second did not run again")
    p.touch("go-second")
    facts = seen(p, p.start("wait", p.id))
    return facts | {"boot": boot_id(), "found": before, "taken over": taken.stdout.split()}


STORIES: dict[str, Callable[[], Facts]] = {
    story.__name__: story
    for story in (
        clock_set_while_it_runs,
        clock_set_between_supervisors,
        group_full,
        machine_full,
        machine_full_when_the_supervisor_dies,
        before_the_reboot,
        after_the_reboot,
    )
}

if __name__ == "__main__":
    main(*sys.argv[1:])
