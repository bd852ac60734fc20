"""The first process of a sandbox has nothing that whoever is beside it could want.

A plain user's processes are of the same user as it, and may write into its memory; who is given SYS_PTRACE may in any
case.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable

import pytest
from real_program import Program

from sandbox.seccomp.install import install
from sandbox.seccomp.profile import ALLOW, Profile, deny
from sandbox.seccomp.program import program as program_of

_KEYS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
_LOOK = f"""
import json, os
lines = dict(line.split(":\\t", 1) for line in open("/proc/1/status").read().splitlines() if ":\\t" in line)
found = [int(lines[key], 16) for key in {_KEYS}]
try:
    os.close(os.open("/proc/1/mem", os.O_RDWR))
    found.append("open")
except PermissionError:
    found.append("closed")
json.dump(found, open("found", "w"))
"""


def looked(program: Program, before: Callable[[], None] | None = None, **more: object) -> list[object]:
    path = program.base / "look.json"
    look = {"name": "look", "argv": ["/usr/bin/python3", "-I", "-c", _LOOK], **more}
    path.write_text(json.dumps({"name": "t", "processes": [look]}))
    done = program.done("run", str(path), "--task-id", program.id, preexec_fn=before)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads((program.sandbox / "found").read_text())
    return found


@pytest.mark.root
def test_a_plain_users_may_do_nothing(nobody: Program) -> None:
    assert looked(nobody) == [0, 0, 0, 0, 0, 1, 2, "open"]


def without_memfd() -> None:
    """As the kernel has it where vm.memfd_noexec is 2."""
    denied = Profile(ALLOW, [deny("memfd_create", errno.EACCES)])
    install(program_of(denied, os.uname().machine))


@pytest.mark.root
def test_where_no_memory_can_be_executed_it_stays_all_the_same_and_cannot_be_written_into(program: Program) -> None:
    assert looked(program, without_memfd) == [0, 0, 0, 0, 0, 1, 2, "closed"]


@pytest.mark.root
def test_roots_may_do_nothing(program: Program) -> None:
    assert looked(program)[:7] == [0, 0, 0, 0, 0, 1, 2]


@pytest.mark.root
def test_who_may_trace_it_wins_no_capability_by_it(program: Program) -> None:
    assert looked(program, capabilities=["SYS_PTRACE"]) == [0, 0, 0, 0, 0, 1, 2, "open"]
