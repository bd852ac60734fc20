"""A program that makes sandboxes with the library alone, nothing of tasks: for each line it reads, what that took.

It is resident, as whoever makes sandboxes is, and imports only what that takes. `library_program.py DIRECTORY WHAT`;
WHAT is

    whole      ms from a spec to the confirmed execution of /bin/true in a full sandbox, its end, and nothing left
    processes  ms that /bin/true takes more in a running sandbox, in a group of its own with its own log files, than
               beside it, with log files; of many of both, in turns, the quickest: what others do to this machine
               meanwhile is no part of it
"""

from __future__ import annotations

import os
import sys
import time

from sandbox import spawn, syscalls
from sandbox.cgroups import tree
from sandbox.plan import Plan, plan
from sandbox.privileges import table
from sandbox.privileges.asked import Privileges
from sandbox.privileges.kind import Kernel
from sandbox.spec import Limits, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TRUE = spawn.Order(["/bin/true"], {"PATH": "/usr/bin:/bin"})
_LIMITS = Limits(1.0, 256 << 20, 64)
_LEAF = "only"

#: Processes of each kind, for one figure.
_OFTEN = 20


def _spec(directory: str) -> Spec:
    """All that a task of thermos's gets by default."""
    return Spec(
        ("pid", "mount", "ipc", "uts", "cgroup"),
        sandbox=directory,
        read_only=True,
        dev=True,
        masks=True,
        hide=(os.path.dirname(directory), "/run"),
    )


class _Sandbox:
    """A group with limits, and a first process."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        made = plan(_spec(directory))
        self._enter = made.enter
        self._privileges = table.steps(
            Privileges(), Kernel(os.uname().machine, os.uname().release), root_user=os.geteuid() == 0
        )
        self.group = tree.make(f"bench-library.{os.getpid()}", ())
        lacking = [answer for answer in tree.limit(self.group, _LIMITS) if answer[2] is None]
        if lacking:
            raise OSError(0, f"no limits: {lacking}")
        syscalls.unshare(made.clone)
        self._first = self._begin(made)
        self._init = os.pidfd_open(self._first.pid)
        self.enter()

    def enter(self) -> None:
        """Our next child is born in it."""
        syscalls.setns(self._init, syscalls.CLONE_NEWPID)

    def _begin(self, made: Plan) -> spawn.Child:
        first = spawn.fork_first(made, ["bench-first"])
        first.go()
        first.wait()
        return first

    def place(self, number: int) -> spawn.Place:
        return spawn.Place(
            self._directory,
            f".logs/{number}",
            tree.joins(self.group, _LEAF),
            None,
            self._init,
            self._enter,
            privileges=self._privileges,
        )

    def run(self, number: int) -> None:
        tree.make_leaf(self.group, _LEAF)
        _run(self.place(number))
        tree.remove(tree.directories(self.group, _LEAF))

    def end(self, host: int) -> None:
        os.kill(self._first.pid, 9)
        os.waitpid(self._first.pid, 0)
        os.close(self._init)
        syscalls.setns(host, syscalls.CLONE_NEWPID)
        while not tree.remove_tree(self.group):
            time.sleep(0.0005)


def _told_by_its_parent(step: str, number: int, text: str) -> None:
    """Who waits for it hears why it executes nothing."""


def _run(place: spawn.Place) -> None:
    child = spawn.fork(place, _told_by_its_parent)
    child.go(_TRUE)
    child.wait()
    if os.waitpid(child.pid, 0)[1]:
        raise OSError(0, "/bin/true failed")


def _whole(directory: str, host: int) -> float:
    began = time.perf_counter()
    sandbox = _Sandbox(directory)
    sandbox.run(0)
    sandbox.end(host)
    return time.perf_counter() - began


def _processes(directory: str, host: int) -> float:
    sandbox = _Sandbox(directory)
    inside: list[float] = []
    beside: list[float] = []
    for number in range(_OFTEN):
        began = time.perf_counter()
        sandbox.run(number)
        inside.append(time.perf_counter() - began)
        syscalls.setns(host, syscalls.CLONE_NEWPID)
        began = time.perf_counter()
        _run(spawn.Place(directory, f".logs/beside-{number}"))
        beside.append(time.perf_counter() - began)
        sandbox.enter()
    sandbox.end(host)
    return min(inside) - min(beside)


def main() -> None:
    directory, what = sys.argv[1:]
    measure: Any = {"whole": _whole, "processes": _processes}[what]
    host = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while sys.stdin.readline():
        print(measure(directory, host) * 1000, flush=True)


if __name__ == "__main__":
    main()
