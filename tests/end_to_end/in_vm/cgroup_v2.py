"""Runs inside a virtual machine with cgroup v2: uses the program as people do, and tells what came of it.

It judges nothing; tests/end_to_end/test_cgroup_v2.py does.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parents[level]) for level in (1, 2))
from deadline import DEADLINE, until
from real_program import AWAIT, RAN, Program, Started, gone
from telling import tell_all

TREE = Path("/sys/fs/cgroup")
BASE = Path("/var/tmp/stories")
NOBODY = 65534
GREEDY = ["/usr/bin/tail", "/dev/zero"]

Facts = dict[str, Any]


def main() -> None:
    BASE.mkdir()
    tell_all({story.__name__: partial(and_what_is_left, story) for story in STORIES})


def and_what_is_left(story: Callable[[], Facts]) -> Facts:
    before = groups()
    return story() | {"groups left": sorted(groups() - before)}


# -- what there is to see


def groups() -> set[str]:
    return {str(path.relative_to(TREE)) for path in TREE.rglob("*") if path.is_dir()}


def kernel_files(directory: str, *names: str) -> dict[str, str]:
    return {name: (Path(directory) / name).read_text().strip() for name in names}


def group_of(program: Program) -> str:
    accepted = json.loads((program.directory / "task.json").read_text())
    (directory,) = accepted["cgroups"].values()
    return str(directory)


def seen(program: Program, run: Started) -> Facts:
    """How a run ended, and what `status` says."""
    _, complaints = run.communicate(timeout=2 * DEADLINE)
    facts: Facts = {"exit status": run.returncode, "complaints": complaints}
    if program.directory.exists():
        status = program.status()
        facts |= {"state": status["state"], "isolation": {row["what"]: row for row in status["isolation"]}}
        facts["runs"] = {process["name"]: process["runs"] for process in status["processes"]}
        facts["ran"] = program.ran()
        facts["logs"] = {name: program.log(name) for name, runs in facts["runs"].items() if runs}
    until(lambda: not program.alive(), f"processes are left: {program.alive()}")
    return facts


# -- how a task is begun


def program(name: str, uid: int = 0) -> Program:
    base = BASE / name
    base.mkdir()
    program = Program(base, uid)
    program.id = name
    return program


def new_group(name: str, owner: int = 0) -> Path:
    """A group such as an agent makes for one of its jobs, delegated to its owner."""
    (TREE / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    group = TREE / name
    group.mkdir()
    for path in (group, *(group / file for file in ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads"))):
        os.chown(path, owner, owner)
    return group


def begin_in(group: Path, program: Program, processes: list[Facts], *words: str, **fields: Any) -> Started:
    """`run` as the first process of a group, as the program's user."""
    fields.setdefault("sandbox", IN_SIGHT)
    command = program._command(("run", program.write(processes, **fields), "--task-id", program.id, *words))
    become = ["setpriv", f"--reuid={program.uid}", f"--regid={program.uid}", "--clear-groups", "--"]
    launcher = ["/bin/sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group), *become, *command]
    run = Started(launcher, text=True, env=program.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.running.append(run)
    return run


def waiting(name: str, then: str = "true", **fields: Any) -> Facts:
    """A process that stays until the file go-NAME is there."""
    return {"name": name, "cmdline": RAN + AWAIT.format(f"go-{name}") + then, **fields}


def plain(name: str, **fields: Any) -> Facts:
    return {"name": name, "cmdline": RAN, **fields}


#: So that a process sees which group it is in.
IN_SIGHT: Facts = {"namespaces": {"cgroup": False}}


def where(name: str, **fields: Any) -> Facts:
    return {"name": name, "cmdline": RAN + "cat /proc/self/cgroup", **fields}


# -- the stories


def limits() -> Facts:
    """A graph with limits; what the kernel holds while it runs."""
    p = program("limits")
    processes = [where("a"), where("b"), waiting("c", after=["a", "b"]), where("d", after=["c"])]
    run = p.begin(processes, resources={"cpu": 0.5, "ram": "64MiB", "pids": 20}, sandbox=IN_SIGHT)
    until(lambda: "c 0" in p.ran(), "c did not run")
    held = kernel_files(group_of(p), "memory.max", "pids.max", "cpu.max")
    p.touch("go-c")
    return seen(p, run) | {"held": held, "directory": str(p.directory)}


def out_of_memory() -> Facts:
    p = program("out-of-memory")
    processes = [{"name": "greedy", "argv": GREEDY}, where("small")]
    return seen(p, p.begin(processes, resources={"ram": "32MiB"}, sandbox=IN_SIGHT))


def limits_of_processes() -> Facts:
    """Each of two processes has limits of its own; what the kernel holds of one, and what becomes of the other."""
    p = program("limits-of-processes")
    small = waiting("small", "sleep 0", resources={"cpu": 0.25, "ram": "16MiB", "pids": 9})
    greedy = {"name": "greedy", "argv": GREEDY, "resources": {"ram": "32MiB"}}
    run = p.begin([small, greedy], resources={"ram": "256MiB"}, max_failures=0, sandbox=IN_SIGHT)
    until(lambda: "small 0" in p.ran(), "small did not run")
    held = kernel_files(f"{group_of(p)}/small.0", "memory.max", "pids.max", "cpu.max")
    p.touch("go-small")
    return seen(p, run) | {"held": held}


def too_many() -> Facts:
    p = program("too-many")
    crowd = "i=0; while [ $i -lt 30 ]; do sleep 1000 & i=$((i+1)); done; echo all of them"
    run = p.begin([{"name": "crowd", "argv": ["/bin/sh", "-c", crowd]}], resources={"pids": 10})
    return seen(p, run) | {"errors": p.log("crowd", stream="stderr")}


def straggler() -> list[Facts]:
    """A process that leaves one behind in a session of its own, deaf to signals; the next counts what is left."""
    deaf = "(setsid sh -c 'trap \"\" TERM HUP; : > up; while :; do sleep 1; done' &); " + AWAIT.format("up")
    count = (
        "for dir in /proc/[0-9]*; do tr '\\0' ' ' < $dir/cmdline; echo; done 2>/dev/null | grep -c '[w]hile :'; true"
    )
    return [{"name": "leaver", "cmdline": deaf}, {"name": "counter", "cmdline": count, "after": ["leaver"]}]


def stragglers() -> Facts:
    p = program("stragglers")
    return seen(p, p.begin(straggler()))


def a_killed_supervisor() -> Facts:
    p = program("killed-supervisor")
    run = p.begin([waiting("first", "exit 7"), plain("next")], max_failures=2)
    until(lambda: p.started(), "first did not start")
    p.kill(p.supervisor())
    p.touch("go-first")
    return seen(p, run)


def both_killed(p: Program) -> int:
    """A task whose keeper and supervisor are gone; the pid of its first process, which waits."""
    p.begin([waiting("first", "[ $THERMOS_RUN = 1 ] || exit 7"), plain("next")], max_failures=2)
    first = until(lambda: p.started(), "first did not start").pid
    until(lambda: {"first 0", "next 0"} <= set(p.ran()), "they did not run")
    p.kill(p.keeper(), p.supervisor())
    return first


def adopted() -> Facts:
    """Both killed, and what still runs taken over. This process inherits it and does not reap: it stays a zombie."""
    p = program("adopted")
    subreaper(True)
    try:
        first = both_killed(p)
        run = p.start("resume", p.id)
        until(lambda: p.status()["supervised"], "resume did not take over")
        alive = not gone(first)
        p.touch("go-first")
        facts = seen(p, run)
        os.waitpid(first, 0)
    finally:
        subreaper(False)
    return facts | {"alive when taken over": alive}


def nobody_looked() -> Facts:
    """Both killed, and the process reaped by a stranger before anybody took the task over."""
    p = program("nobody-looked")
    first = both_killed(p)
    p.touch("go-first")
    until(lambda: not Path(f"/proc/{first}").exists(), "nobody reaped first")
    return seen(p, p.start("resume", p.id))


def subreaper(on: bool) -> None:
    ctypes.CDLL(None).prctl(36, int(on), 0, 0, 0)


def a_group_of_our_own() -> Facts:
    """In a group that is not the root and holds nobody but us, as an agent's child is."""
    group = new_group("job")
    p = program("own-group")
    run = begin_in(group, p, [waiting("first"), where("next")], resources={"cpu": 0.5, "ram": "64MiB", "pids": 20})
    until(lambda: "first 0" in p.ran(), "first did not run")
    held = kernel_files(group_of(p), "memory.max", "pids.max", "cpu.max")
    inside = kernel_files(str(group), "cgroup.procs", "cgroup.subtree_control")
    p.touch("go-first")
    facts = seen(p, run) | {"held": held, "inside": inside, "left inside": groups_below(group)}
    facts["controllers left"] = kernel_files(str(group), "cgroup.subtree_control")["cgroup.subtree_control"]
    remove(group)
    return facts


def a_shared_group() -> Facts:
    """In a group that also holds somebody else, who is not ours to move."""
    group = new_group("shared")
    stranger = subprocess.Popen(["sleep", "1000"])
    (group / "cgroup.procs").write_text(str(stranger.pid))

    def told(mode: str) -> Facts:
        p = program(f"shared-{mode}")
        run = begin_in(group, p, [where("only")], "--isolation", mode, resources={"ram": "64MiB", "pids": 20})
        return seen(p, run) | {"left inside": groups_below(group)}

    facts = {mode: told(mode) for mode in ("strict", "best-effort")}
    facts["stranger"] = {"pid": stranger.pid, "group": Path(f"/proc/{stranger.pid}/cgroup").read_text().strip()}
    stranger.kill()
    stranger.wait()
    remove(group)
    return facts


def a_plain_user() -> Facts:
    """As a user without privileges, in a group delegated to that user."""
    group = new_group("delegated", NOBODY)
    p = program("plain-user", NOBODY)
    processes = [{"name": "greedy", "argv": GREEDY}, where("small"), *straggler()]
    run = begin_in(group, p, processes, max_failures=2, resources={"cpu": 0.5, "ram": "32MiB", "pids": 20})
    facts = seen(p, run) | {"left inside": groups_below(group)}
    remove(group)
    return facts


def groups_below(group: Path) -> list[str]:
    return sorted(name for name in groups() if name.startswith(f"{group.name}/"))


def remove(group: Path) -> None:
    """As an agent does when its job is over: the group and what is below it."""
    for path in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()
    group.rmdir()


STORIES: list[Callable[[], Facts]] = [
    limits,
    out_of_memory,
    limits_of_processes,
    too_many,
    stragglers,
    a_killed_supervisor,
    adopted,
    nobody_looked,
    a_group_of_our_own,
    a_shared_group,
    a_plain_user,
]

if __name__ == "__main__":
    main()
