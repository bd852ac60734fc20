"""Escapes from limits: taking more than was given, changing what is given by cgroup files, outliving the task.

Programs stop by themselves far above the limit, so that without one they harm nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from escapes import Bait, Scene, escape, status

_NO_CGROUPFS = "/sys/fs/cgroup is read-only, and shows its own groups only; CAP_SYS_ADMIN is gone"

#: Names of files: of version 1 where that hierarchy is there, else of version 2.
_V1 = Path("/sys/fs/cgroup/memory").is_dir()
_LIMIT = "memory.limit_in_bytes" if _V1 else "memory.max"
_MiB = 1 << 20


def group(scene: Scene, controller: str) -> str:
    return scene.stage.groups.get(controller) or scene.stage.groups["unified"]


# -- taking more than was given


@escape("root", "mallory", stopped_by="the pids cgroup", resources={"pids": 20})
def fork_without_end(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: len(scene.processes()) > 40)


@escape("root", "mallory", stopped_by="the pids cgroup", resources={"pids": 20})
def start_threads_without_end(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.any_process(lambda pid: int(status(pid).get("Threads", "0")) > 40))


@escape("mallory", stopped_by="the pids cgroup", resources={"pids": 20})
def leave_the_dead_unburied(scene: Scene) -> Iterator[Bait]:
    def zombies(pid: int) -> bool:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(status(int(child)).get("State", "")[:1] == "Z" for child in children) > 40

    yield Bait(lambda: scene.any_process(zombies))


@escape("root", "mallory", stopped_by="the memory cgroup", resources={"ram": "32MiB"})
def take_memory_without_end(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.any_process(lambda pid: int(status(pid).get("VmRSS", "0").split()[0]) > 64 << 10))


@escape("mallory", stopped_by="the memory cgroup", resources={"ram": "32MiB"})
def take_memory_as_a_file_without_a_name(scene: Scene) -> Iterator[Bait]:
    def large(pid: int) -> bool:
        found = [fd for fd in Path(f"/proc/{pid}/fd").iterdir() if "memfd:taken" in os.readlink(fd)]
        return any(fd.stat().st_blocks * 512 > 64 * _MiB for fd in found)

    yield Bait(lambda: scene.any_process(large))


@escape(
    "mallory",
    stopped_by="the memory cgroups of the task, for what all its processes take together",
    resources={"ram": "32MiB"},
)
def take_memory_by_many_children(scene: Scene) -> Iterator[Bait]:
    def taken() -> int:
        return sum(int(status(pid).get("RssAnon", "0").split()[0]) for pid in scene.processes())

    yield Bait(lambda: taken() > 64 << 10)


@escape("mallory", stopped_by="/tmp is private, and has a size of its own")
def fill_the_hosts_tmp(scene: Scene) -> Iterator[Bait]:
    def full() -> bool:
        found = os.statvfs(scene.outside("/tmp"))
        return found.f_bfree == 0

    yield Bait(full)


@escape("mallory", stopped_by="/tmp is private, and has inodes of its own")
def use_up_the_inodes_of_the_hosts_tmp(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: os.statvfs(scene.outside("/tmp")).f_ffree == 0)


@escape("mallory", stopped_by="/dev/shm is private, and has a size of its own")
def fill_the_hosts_shared_memory(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: os.statvfs(scene.outside("/dev/shm")).f_bfree == 0)


@escape("mallory", stopped_by="the limit of its disk space", resources={"disk": "8MiB"})
def fill_the_hosts_disk(scene: Scene) -> Iterator[Bait]:
    file = scene.outside(f"{scene.where}/large")
    yield Bait(lambda: file.exists() and file.stat().st_blocks * 512 > 24 * _MiB)


@escape("root", "mallory", stopped_by="/dev/pts is a new one")
def use_up_the_hosts_terminals(scene: Scene) -> Iterator[Bait]:
    """Counted, not tried: a terminal that the oracle holds for a moment is one that the program does not get."""
    terminals = scene.outside("/dev/pts")
    yield Bait(lambda: sum(file.name.isdigit() for file in terminals.iterdir()) >= 16)


@escape(
    "root", "mallory", plainly=True, stopped_by="what is in its cgroup or its pid namespace is killed with the task"
)
def outlive_the_task(scene: Scene) -> Iterator[Bait]:
    """A process of its own session, without the environment that it was given."""

    def left() -> bool:
        assert scene.run is None or scene.run.poll() is not None
        return scene.run is not None and bool(scene.processes())

    yield Bait(left, only_at_the_end=True)


# -- changing what is given


@escape("root", stopped_by=_NO_CGROUPFS, resources={"ram": "64MiB"})
def raise_its_own_limit(scene: Scene) -> Iterator[Bait]:
    """The group it is started in has a limit; so has the task's below it. Either may not be raised."""
    top = Path(group(scene, "memory"))
    (top / _LIMIT).write_text(str(512 * _MiB))

    def raised() -> bool:
        return any(file.read_text().strip() == str(333 * _MiB) for file in top.rglob(_LIMIT))

    yield Bait(raised, limit=333 * _MiB, top=scene.stage.token)


@escape("root", stopped_by=_NO_CGROUPFS)
def leave_its_groups(scene: Scene) -> Iterator[Bait]:
    root = "/sys/fs/cgroup/pids" if _V1 else "/sys/fs/cgroup"
    yield Bait(lambda: scene.member(root))


def bait_group(scene: Scene, controller: str) -> Path:
    made = Path(group(scene, controller), "bait")
    made.mkdir()
    return made


@escape("root", stopped_by=_NO_CGROUPFS)
def freeze_others(scene: Scene) -> Iterator[Bait]:
    frozen = bait_group(scene, "freezer")
    victim = scene.victim()
    (frozen / "cgroup.procs").write_text(str(victim.pid))
    state = frozen / ("freezer.state" if _V1 else "cgroup.freeze")
    begun = state.read_text()
    try:
        yield Bait(lambda: state.read_text() != begun, file=state, text="FROZEN" if _V1 else "1")
    finally:
        state.write_text(begun)


@escape("root", stopped_by=_NO_CGROUPFS)
def kill_others_by_their_group(scene: Scene) -> Iterator[Bait]:
    killed = bait_group(scene, "unified")
    victim = scene.victim()
    (killed / "cgroup.procs").write_text(str(victim.pid))
    yield Bait(victim.dead, file=killed / "cgroup.kill")


@escape("root", stopped_by=_NO_CGROUPFS)
def take_others_into_a_group(scene: Scene) -> Iterator[Bait]:
    taken = bait_group(scene, "pids")
    victim = scene.victim()
    yield Bait(
        lambda: str(victim.pid) in (taken / "cgroup.procs").read_text().split(),
        pid=victim.inner,
        file=taken / "cgroup.procs",
    )


@escape("root", stopped_by=_NO_CGROUPFS)
def make_groups_of_its_own(scene: Scene) -> Iterator[Bait]:
    made = Path(group(scene, "pids"), "planted")
    yield Bait(made.is_dir, directory=made)


@escape("root", stopped_by="CAP_SYS_ADMIN is gone: there is nothing to mount it with", resources={"ram": "64MiB"})
def mount_the_groups_anew(scene: Scene) -> Iterator[Bait]:
    top = Path(group(scene, "memory"))
    (top / _LIMIT).write_text(str(512 * _MiB))
    below = str(top).removeprefix("/sys/fs/cgroup/memory" if _V1 else "/sys/fs/cgroup").strip("/")
    words = {"fstype": "cgroup" if _V1 else "cgroup2", "data": "memory" if _V1 else "", "file": f"{below}/{_LIMIT}"}
    yield Bait(lambda: (top / _LIMIT).read_text().strip() == str(333 * _MiB), limit=333 * _MiB, **words)


@escape("root", stopped_by="CAP_SYS_ADMIN is gone: there is nothing to mount it with")
def have_the_kernel_run_a_program_for_an_empty_group(scene: Scene) -> Iterator[Bait]:
    """The release agent of version 1, in a hierarchy of the test's own."""
    marker = scene.stage.srv / "released"
    program = scene.stage.srv / "agent"
    program.write_text(f"#!/bin/sh\necho $(id -u) > {marker}\n")
    program.chmod(0o755)
    yield Bait(marker.exists, patience=0.5, name=scene.stage.token, program=program)
