"""The filter of system calls by itself: what it denies, with what, and what it lets through."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from privileged import ROOT

from sandbox.seccomp import UnknownMachine
from sandbox.seccomp.numbers import NUMBERS
from sandbox.seccomp.profile import ALLOW, Profile, Rule, deny
from sandbox.seccomp.program import program
from thermos.formats.aurora import confinement

FILTERED = """
import ctypes, errno, json, os, sys
from sandbox import syscalls
from sandbox.seccomp.install import install
from sandbox.seccomp.profile import ALLOW, Profile, deny as D
from sandbox.seccomp.program import program
denied = [{denied}]
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments)) < 0:
        return ctypes.get_errno()
    return 0
if sys.argv[1] == "with":
    syscalls.set_no_new_privs()
    install(program(Profile(ALLOW, denied), os.uname().machine))
print(json.dumps([{calls}]))
"""


def answers(denied: str, calls: str) -> tuple[list[int], list[int]]:
    """Error numbers of calls, without and with a filter."""
    both: list[list[int]] = []
    for how in ("without", "with"):
        done = subprocess.run(
            [sys.executable, "-c", FILTERED.format(denied=denied, calls=calls), how],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        both.append(json.loads(done.stdout))
    return both[0], both[1]


def filtering(denied: Iterable[Rule], machine: str) -> bytes:
    return program(Profile(ALLOW, denied), machine)


N = NUMBERS[os.uname().machine]
UMASK, FCNTL, GETPPID = N["umask"], N["fcntl"], N["getppid"]
HIGH = 7 << 32


@pytest.mark.parametrize(
    ("denied", "calls", "expected"),
    [
        ("D('getppid')", f"call({GETPPID}), call({UMASK}, 18)", [errno.EPERM, 0]),
        ("D('getppid', errno.EACCES)", f"call({GETPPID})", [errno.EACCES]),
        ("D('umask', argument=0, bits=0o20)", f"call({UMASK}, 0o22), call({UMASK}, 0o2)", [errno.EPERM, 0]),
        ("D('umask', argument=0, bits=1 << 40)", f"call({UMASK}, 18), call({UMASK}, (1 << 40) + 18)", [0, errno.EPERM]),
        ("D('umask', argument=0, bits=2 ** 64 - 1)", f"call({UMASK}, 0), call({UMASK}, {HIGH})", [0, errno.EPERM]),
        (
            "D('fcntl', argument=1, equals=1)",
            f"call({FCNTL}, 0, 1), call({FCNTL}, 0, {HIGH} + 1), call({FCNTL}, 0, 3), call({GETPPID})",
            [errno.EPERM, errno.EPERM, 0, 0],
        ),
        (
            "D('fcntl', argument=1, equals=1), D('fcntl', argument=1, equals=3), D('umask')",
            f"call({FCNTL}, 0, 1), call({FCNTL}, 0, 3), call({UMASK}, 18), call({GETPPID})",
            [errno.EPERM, errno.EPERM, errno.EPERM, 0],
        ),
        ("", f"call({GETPPID}), call({UMASK}, 18)", [0, 0]),
    ],
)
def test_the_kernel_answers_as_the_list_says(denied: str, calls: str, expected: list[int]) -> None:
    without, with_filter = answers(denied, calls)
    assert without == [0] * len(expected)
    assert with_filter == expected


def test_calls_newer_than_the_tables_do_not_exist() -> None:
    newest = max(N.values())
    _, with_filter = answers("", f"call({newest + 1}), call({newest + 1000}), call(0x40000000 + 39)")
    assert with_filter == [errno.ENOSYS] * 3


def test_a_filter_reaches_what_is_started_afterwards() -> None:
    calls = "os.waitstatus_to_exitcode(os.system('mkdir /nowhere/x 2>/dev/null; kill -0 $$'))"
    without, with_filter = answers("D('kill')", calls)
    assert without == [0]
    assert with_filter != [0]


def test_a_machine_without_a_table_is_refused() -> None:
    with pytest.raises(UnknownMachine, match="no table of system calls for 'mips', only for x86_64, aarch64"):
        filtering([], "mips")


def test_a_name_that_no_machine_knows_is_refused_and_one_of_another_machine_passed_over() -> None:
    with pytest.raises(KeyError, match="opne"):
        filtering([deny("opne")], "x86_64")
    assert filtering([deny("open")], "aarch64") == filtering([], "aarch64")


def test_a_list_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="Linux takes at most 4096"):
        filtering([deny("kill", argument=0, equals=number) for number in range(3000)], "x86_64")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_confines_a_file_fits_into_a_filter(machine: str) -> None:
    assert len(filtering(confinement.DENIED, machine)) < 8 * 1000


@pytest.mark.parametrize(
    ("machine", "name", "number"),
    [
        ("x86_64", "read", 0),
        ("x86_64", "socket", 41),
        ("x86_64", "openat", 257),
        ("x86_64", "rseq", 334),
        ("x86_64", "io_uring_setup", 425),
        ("aarch64", "io_setup", 0),
        ("aarch64", "openat", 56),
        ("aarch64", "kexec_file_load", 294),
        ("aarch64", "socket", 198),
        ("aarch64", "fchmodat2", 452),
    ],
)
def test_a_call_has_this_number(machine: str, name: str, number: int) -> None:
    assert NUMBERS[machine][name] == number


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the header of this machine")
def test_the_table_agrees_with_the_kernels_header() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("needs linux-libc-dev")
    words = [line.split() for line in header.read_text().splitlines() if line.startswith("#define __NR_")]
    said = {word[1].removeprefix("__NR_"): int(word[2]) for word in words}
    assert {name: NUMBERS["x86_64"].get(name) for name in said if name != "uretprobe"} == {
        name: number for name, number in said.items() if name != "uretprobe"
    }
