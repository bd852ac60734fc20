"""Runs inside a virtual machine with cgroup v2: uses the library as its callers do, and tells what came of it.

It judges nothing; test_controllers_v2.py does.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import select
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parents[level]) for level in (1, 2))
from deadline import until
from telling import tell_all

from sandbox.cgroups import files, freezer, tree
from sandbox.cgroups.controllers import CONTROLLERS, needed
from sandbox.cgroups.figures import figures, kills_whole_groups, watch_oom
from sandbox.spec import Limits
from sandbox.usage import ALL, Group

MIB = 1 << 20
TREE = Path("/sys/fs/cgroup")
NOBODY = 65534

Facts = dict[str, Any]
Groups = dict[str, str]


def main() -> None:
    tell_all({story.__name__: partial(leaving_nothing, story) for story in STORIES})


def leaving_nothing(story: Callable[[], Facts]) -> Facts:
    before = groups()
    facts = story()
    until(lambda: groups() <= before, "a group is left")
    return facts


def groups() -> set[Path]:
    return {path for path in TREE.rglob("*") if path.is_dir()}


def made(name: str, limits: Limits) -> Groups:
    return tree.make(name, needed(limits))


def removed(group: Groups) -> None:
    until(lambda: tree.remove_tree(group), f"{group} is still there")


def answers(group: Groups, limits: Limits) -> Facts:
    return {field: got or why for field, _, got, why in tree.limit(group, limits)}


def held(group: Groups) -> Facts:
    return {f"{name}.{attribute}": plain(value) for name, attribute, value in files.held(group)}


def limits_held(group: Groups) -> Facts:
    """Of what is held that which is set: the rest is counted, and changes by itself."""
    kinds = {name: vars(type(each)) for name, each in files.of(group).items()}
    return {
        f"{name}.{attribute}": plain(value)
        for name, attribute, value in files.held(group)
        if not kinds[name][attribute].readonly
    }


def plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else value


def born(group: Groups, leaf: str, what: Callable[[], None]) -> int:
    """A child in a leaf."""
    tree.make_leaf(group, leaf)
    pid = os.fork()
    if not pid:
        try:
            for file in tree.joins(group, leaf):
                Path(file).write_text("0")
            what()
        finally:
            os._exit(0)
    return pid


def status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def sleep() -> None:
    time.sleep(1000)


def greed() -> None:
    held = []
    while True:
        held.append(os.urandom(MIB))


def hold(mib: int) -> Callable[[], None]:
    def hold() -> None:
        held = os.urandom(mib * MIB)
        Path("/tmp/held").touch()
        time.sleep(1000 + len(held))

    return hold


# -- the stories


def limits() -> Facts:
    """Everything there is, and what the kernel holds."""
    every = Limits(
        0.5,
        64 * MIB,
        20,
        cpu_weight=300,
        cpu_burst=0.2,
        memory_low=MIB,
        memory_high=48 * MIB,
        swap=2 * MIB,
        oom="group",
        cpus="0",
        devices=(),
        io_weight=100,
    )
    group = made("limits", every)
    facts = {"answers": answers(group, every), "held": held(group), "version": tree.version(group)}
    facts["none any more"] = answers(
        group, Limits(-1, -1, -1, memory_low=-1, memory_high=-1, swap=-1, oom="process", cpu_weight=100, cpu_burst=0)
    )
    facts["held then"] = held(group)
    removed(group)
    return facts


def changes() -> Facts:
    """Of a group that lives: what is not asked for stays, what is refused stays as it was."""
    group = made("changes", Limits())
    pid = born(group, "run.0", sleep)
    facts: Facts = {"first": answers(group, Limits(0.5, 64 * MIB, 20))}
    facts["raised"] = answers(group, Limits(memory=96 * MIB))
    facts["lowered"] = answers(group, Limits(cpu=0.25, cpu_burst=0.25))
    before = limits_held(group)
    facts["refused"] = answers(group, Limits(cpu=0.1, cpu_burst=0.5))  # more than the quota
    facts["unchanged"] = limits_held(group) == before and "cpu.quota" in before
    facts["leaf"] = answers(tree.leaf_group(group, "run.0"), Limits(pids=3))
    removed(group)
    status(pid)
    return facts


def below_what_is_held() -> Facts:
    group = made("below", Limits())
    pid = born(group, "run.0", hold(40))
    until(Path("/tmp/held").exists, "it holds nothing")
    facts: Facts = {"answers": answers(group, Limits(memory=8 * MIB, swap=0))}
    facts["status"] = status(pid)
    facts["oom kills"] = figures(group, "run.0")[0]
    removed(group)
    return facts


def oom() -> Facts:
    """Of two processes in a leaf one is greedy; a third is in another leaf."""

    def of(run: str, task: str) -> Facts:
        group = made(f"oom-{run}-{task}", Limits())
        facts: Facts = {"task": answers(group, Limits(memory=32 * MIB, swap=0, oom=task))}
        quiet, other = born(group, "run.0", sleep), born(group, "other.0", sleep)
        facts["run"] = answers(tree.leaf_group(group, "run.0"), Limits(oom=run))
        fd, urgent = watch_oom(tree.leaf_group(group, "run.0"))
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        facts["quiet"] = poll.poll(0) == [] and urgent
        facts["greedy"] = status(born(group, "run.0", greed))
        facts["told"] = poll.poll(60_000) != []
        facts["by the kernel"] = kills_whole_groups(group)
        facts["oom kills"] = [figures(group, leaf)[0] for leaf in ("run.0", "other.0", "")]
        # Killed by the kernel or not: a signal of ours, which comes later, tells them apart.
        statuses = {}
        for name, pid in (("quiet in the run", quiet), ("other run", other)):
            until(lambda pid=pid: state(pid) in "SZ", "in no state")
            if state(pid) != "Z":
                os.kill(pid, 15)
            statuses[name] = status(pid)
        os.close(fd)
        removed(group)
        return facts | statuses

    return {
        f"{run} {task}": of(run, task)
        for run, task in (("process", "process"), ("group", "process"), ("group", "group"))
    }


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def frozen() -> Facts:
    group = made("frozen", Limits())
    one, two = born(group, "one.0", sleep), born(group, "two.0", sleep)
    until(lambda: all(tree.processes(each) for leaf in ("one.0", "two.0") for each in tree.directories(group, leaf)))
    fd = os.open(str(freezer.tells(group)), os.O_RDONLY)
    os.read(fd, 4096)
    poll = select.poll()
    poll.register(fd, select.POLLPRI)
    freezer.freeze(group)
    facts: Facts = {"told": poll.poll(60_000) != []}
    until(lambda: freezer.frozen(group), "it did not freeze")
    tree.kill(tree.directories(group, "one.0"))
    facts["killed"] = status(one)
    facts["still frozen"] = freezer.frozen(group)
    os.close(fd)
    removed(group)
    facts["removed"] = status(two)
    return facts


def usage() -> Facts:
    group = made("usage", Limits(io=()))
    tree.limit(group, Limits(0.5, 16 * MIB, 20, swap=0))
    pid = born(group, "run.0", greed)
    facts: Facts = {"status": status(pid)}
    sampler = Group(group, ALL)
    sample = sampler.sample()
    facts["sample"] = {name: getattr(sample, name) for name in ALL}
    facts["figures"] = figures(group, "run.0")
    sampler.close()
    removed(group)
    return facts


def later() -> Facts:
    """A limit of a group that was made without the controller."""
    group = made("later", Limits())
    tree.make_leaf(group, "run.0")
    disk = ram_disk()
    facts: Facts = {"before": kernel(group["unified"], "cgroup.controllers")}
    facts["answers"] = answers(group, Limits(io=[(disk, MIB, None, None, None)]))
    facts["leaf"] = answers(tree.leaf_group(group, "run.0"), Limits(io=[(disk, None, None, 5, None)]))
    removed(group)
    return facts


def disk() -> Facts:
    disk = ram_disk()
    group = made("disk", Limits(io=()))
    facts: Facts = {"answers": answers(group, Limits(io=[(disk, None, MIB, None, 1000)])), "held": held(group)}
    facts["more"] = answers(group, Limits(io=[(disk, None, MIB, 100, None)]))
    places = ("/proc", "/dev/null", "/no/such", "9:99")
    facts["refused"] = {place: answers(group, Limits(io=[(place, 1, 1, 1, 1)]))["io"] for place in places}

    def write() -> None:
        fd = os.open(disk, os.O_RDWR | os.O_DIRECT)
        page = mmap.mmap(-1, 1 << 16)
        began = time.monotonic()
        for _ in range(16):
            os.writev(fd, [page])
        Path("/tmp/took").write_text(str(time.monotonic() - began))

    status(born(group, "run.0", write))
    facts["limited"] = float(Path("/tmp/took").read_text())
    facts["none"] = answers(group, Limits(io=[(disk, None, None, None, None)]))
    status(born(group, "run.1", write))
    facts["free"] = float(Path("/tmp/took").read_text())
    sampler = Group(group)
    sample = sampler.sample()
    facts["written"] = sample.written if sample else None
    sampler.close()
    removed(group)
    return facts


def ram_disk() -> str:
    """A disk of memory: a module of the machine's kernel."""
    if not os.path.exists("/dev/ram0"):
        module = f"/usr/lib/uml/modules/{os.uname().release}/kernel/drivers/block/brd.ko"
        with open(module, "rb") as file:
            ctypes.CDLL(None).syscall(313, file.fileno(), b"rd_nr=1 rd_size=8192", 0)
        until(lambda: os.path.exists("/dev/ram0"), "no disk")
    return "/dev/ram0"


def kernel(directory: str, file: str) -> str:
    return tree.read(f"{directory}/{file}")


def in_child(what: Callable[[], Facts]) -> Facts:
    """What a child of ours tells, which may change its group and its user."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            facts = what()
        except BaseException:
            facts = {"error": traceback.format_exc()}
        os.write(write, json.dumps(facts).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        facts = json.loads(file.read())
    status(pid)
    assert "error" not in facts, facts["error"]
    return facts


def scope(name: str, owner: int = 0) -> Path:
    """A group as systemd makes one for a scope or service with Delegate=yes: the processes begin in it."""
    (TREE / "cgroup.subtree_control").write_text("+cpu +memory +pids +io")
    group = TREE / name
    group.mkdir()
    for path in (group, *(group / file for file in ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads"))):
        os.chown(path, owner, owner)
    return group


def a_scope_of_a_plain_user() -> Facts:
    for each in CONTROLLERS.values():
        each.row()
    from sandbox.cgroups import device_program, limits  # noqa: F401  # a plain user cannot read them here

    group = scope("user.scope", NOBODY)

    def within() -> Facts:
        (group / "cgroup.procs").write_text("0")
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        mine = made("plain", Limits(io=()))
        facts: Facts = {"group": mine, "own": kernel(str(group), "cgroup.procs")}
        facts["answers"] = answers(mine, Limits(0.5, 32 * MIB, 9, oom="group", devices=()))
        pid = born(mine, "run.0", sleep)
        until(lambda: tree.processes(tree.directories(mine, "run.0")[0]), "nothing joined")
        freezer.freeze(mine)
        until(lambda: freezer.frozen(mine), "it did not freeze")
        tree.kill(tree.directories(mine, "run.0"))
        facts["killed"] = status(pid)
        removed(mine)
        facts["back"] = kernel(str(group), "cgroup.procs") == str(os.getpid())
        facts["controllers left"] = kernel(str(group), "cgroup.subtree_control")
        return facts

    facts = in_child(within)
    group.rmdir()
    return facts


def a_scope_with_others() -> Facts:
    """Whose other processes are not ours to move."""
    group = scope("shared.scope")
    stranger = os.fork()
    if not stranger:
        sleep()
    (group / "cgroup.procs").write_text(str(stranger))

    def within() -> Facts:
        (group / "cgroup.procs").write_text("0")
        mine = made("task", Limits())
        facts: Facts = {"answers": answers(mine, Limits(memory=32 * MIB, pids=9)), "stranger": stranger}
        facts["handed on"] = kernel(str(group), "cgroup.subtree_control")
        facts["type"] = kernel(mine["unified"], "cgroup.type")
        facts["frozen"] = bool(freezer.tells(mine))
        removed(mine)
        return facts

    facts = in_child(within)
    os.kill(stranger, 9)
    status(stranger)
    until(lambda: not kernel(str(group), "cgroup.procs"), "it is not empty")
    group.rmdir()
    return facts


STORIES: list[Callable[[], Facts]] = [
    limits,
    changes,
    below_what_is_held,
    oom,
    frozen,
    usage,
    later,
    disk,
    a_scope_of_a_plain_user,
    a_scope_with_others,
]

if __name__ == "__main__":
    main()
