"""Landlock: a process keeps to its paths, ports and scopes; and what a kernel lacks of it is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from privileged import Failed, confined, python

from sandbox.privileges import doing, table
from sandbox.privileges.asked import Landlock, Privileges

VERSION = doing.landlock_version()
SYSTEM = [path for path in ("/usr", "/bin", "/lib", "/lib64", "/sbin") if os.path.exists(path)]

files = pytest.mark.skipif(VERSION < 3, reason="needs Landlock of Linux 6.2")
ports = pytest.mark.skipif(VERSION < 4, reason="needs Landlock of Linux 6.7")
scopes = pytest.mark.skipif(VERSION < 6, reason="needs Landlock of Linux 6.12")


def shell(script: str, **asked: Any) -> list[str]:
    return confined(["sh", "-c", script], **asked).stdout.split()


@files
def test_a_process_keeps_to_its_paths(directory: Path) -> None:
    for name in ("read", "write", "other"):
        (directory / name).mkdir()
        (directory / name / "file").write_text(name)
    script = f"""
cd {directory}
for each in read write other; do
    cat $each/file 2>/dev/null || echo no-read; echo
    ( echo more >> $each/file ) 2>/dev/null && echo wrote || echo no-write
    mkdir $each/new 2>/dev/null && echo made || echo not-made
    ( : > $each/file ) 2>/dev/null && echo cut || echo not-cut
done
"""
    asked = {"read": [str(directory / "read")], "write": [str(directory / "write"), "/dev/null"]}
    restricted = shell(script, landlock={**asked, "execute": SYSTEM})
    assert restricted[:4] == ["read", "no-write", "not-made", "not-cut"]
    assert restricted[4:8] == ["write", "wrote", "made", "cut"]
    assert restricted[8:] == ["no-read", "no-write", "not-made", "not-cut"]
    assert (directory / "read/file").read_text() == "read"
    assert set(shell(script, plain=True)) & {"no-read", "no-write", "not-cut"} == set()


@files
def test_a_program_outside_the_list_is_not_executed(directory: Path) -> None:
    program = directory / "program"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    with pytest.raises(Failed) as failed:
        confined([str(program)], landlock={"read": ["/"], "execute": ["/usr/bin/true"]})
    assert failed.value.args[:2] == ("execute", 13)
    assert confined([str(program)], landlock={"execute": ["/"]}).stdout == "ran\n"


@files
def test_an_empty_list_is_a_restriction() -> None:
    with pytest.raises(Failed) as failed:
        confined(["true"], landlock={"read": []})
    assert failed.value.args[:2] == ("execute", 13)


@files
def test_a_path_that_is_not_there_is_named() -> None:
    with pytest.raises(Failed) as failed:
        confined(["true"], landlock={"read": ["/", "/no/such/path"]})
    assert failed.value.args == ("set landlock", 2, "No such file or directory (landlock /no/such/path)")


@ports
def test_a_process_keeps_to_its_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        allowed, other = first.getsockname()[1], second.getsockname()[1]
        code = f"""
def reach(port):
    with socket.socket() as s:
        return tried(s.connect, ("127.0.0.1", port))
def bound(port):
    with socket.socket() as s:
        return tried(s.bind, ("127.0.0.1", port))
answer = [reach({allowed}), reach({other}), bound(0), bound(47111)]
"""
        assert python(code, landlock={"connect": [allowed], "bind": [0]}) == ["done", "EACCES", "done", "EACCES"]
        assert python(code, landlock={"connect": [allowed]}) == ["done", "EACCES", "done", "done"]
        assert python(code) == ["done", "done", "done", "done"]


@scopes
def test_a_process_keeps_to_itself() -> None:
    name = f"\0thermos-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()
        code = f"""
answer = [tried(socket.socket(socket.AF_UNIX).connect, {name!r}), tried(os.kill, {os.getpid()}, 0)]
"""
        assert python(code) == ["done", "done"]
        assert python(code, landlock={"scoped": ["abstract-unix-socket"]}) == ["EPERM", "done"]
        assert python(code, landlock={"scoped": ["signal"]}) == ["done", "EPERM"]


# -- older kernels


EVERYTHING = Privileges(
    landlock=Landlock(read=["/"], bind=[80], connect=[443], scoped=["signal"]), seccomp="unconfined"
)


def step(version: int) -> tuple[object, ...]:
    steps = table.steps(EVERYTHING, table.Kernel("x86_64", "6.1", version), root_user=True)
    return next((each for each in steps if each[0] == "landlock"), ())


@pytest.mark.parametrize(
    ("version", "handled", "net", "scoped"),
    [(1, 0x1FFF, 0, 0), (2, 0x3FFF, 0, 0), (3, 0x7FFF, 0, 0), (4, 0x7FFF, 3, 0), (5, 0xFFFF, 3, 0), (6, 0xFFFF, 3, 2)],
)
def test_a_kernel_is_asked_for_what_it_has(version: int, handled: int, net: int, scoped: int) -> None:
    assert step(version)[1:4] == (handled, net, scoped)


def test_a_kernel_without_it_is_asked_for_nothing() -> None:
    assert step(0) == ()
    nothing = Privileges(landlock=Landlock(bind=[1]))
    steps = table.steps(nothing, table.Kernel("x86_64", "6.1", 3), root_user=True)
    assert "landlock" not in [name for name, *_ in steps]


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        (0, ["landlock read", "landlock bind", "landlock connect", "landlock scoped signal"]),
        (1, ["landlock files", "landlock files", "landlock bind", "landlock connect", "landlock scoped signal"]),
        (3, ["landlock files", "landlock bind", "landlock connect", "landlock scoped signal"]),
        (4, ["landlock files", "landlock scoped signal"]),
        (6, []),
        (9, []),
    ],
)
def test_what_a_kernel_lacks_is_told(version: int, missing: list[str]) -> None:
    assert [what for what, _ in table.lacking(EVERYTHING, table.Kernel("x86_64", "6.1", version))] == missing


def test_nothing_is_lacking_of_what_was_not_asked() -> None:
    assert table.lacking(Privileges(), table.Kernel("x86_64", "6.1", 0)) == []
    assert table.lacking(Privileges(landlock=Landlock()), table.Kernel("x86_64", "6.1", 1)) == []


@files
@pytest.mark.skipif(VERSION < 6, reason="asks for less than this kernel has")
@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_this_kernel_takes_what_older_ones_are_asked_for(version: int, directory: Path) -> None:
    (directory / "file").write_text("text")
    inside = Privileges(landlock=Landlock(read=[str(directory)], write=[f"{directory}/file"], bind=[0]))
    steps = table.steps(inside, table.Kernel(os.uname().machine, "6.1", version), root_user=False)
    pid = os.fork()
    if pid == 0:
        try:
            from sandbox import syscalls

            syscalls.set_no_new_privs()
            doing.late(tuple(each for each in steps if each[0] == "landlock"))
            os.open(directory / "file", os.O_RDWR)
            try:
                os.open("/etc/passwd", os.O_RDONLY)
            except PermissionError:
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
