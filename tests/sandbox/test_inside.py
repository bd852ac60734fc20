"""What is seen from inside the namespaces, and that the host sees none of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from deadline import until
from host_mounts import mounts
from starting import Start

pytestmark = pytest.mark.root

ALL = ["pid", "mount", "ipc", "uts"]


def run(start: Start, directory: Path, script: str, **asked: object) -> str:
    answer = start(["/bin/sh", "-c", script], **{"namespaces": ALL, "keep": [str(directory)], **asked})
    assert (answer["status"], answer["err"]) == (0, ""), answer
    out: str = answer["out"]
    return out


def test_only_its_own_processes_are_there(start: Start, directory: Path) -> None:
    seen = run(start, directory, "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done")
    assert sorted(filter(None, (line.split(" ")[0] for line in seen.splitlines()))) == ["/bin/sh", "sandbox-pause"]


def test_the_first_process_is_pid_1_and_lets_the_dead_go(start: Start, directory: Path) -> None:
    script = "cat /proc/1/comm; (true & echo $! > orphan); while [ -e /proc/$(cat orphan) ]; do :; done; echo reaped"
    assert run(start, directory, script) == "sandbox-pause\nreaped\n"


def test_tmp_and_shm_are_empty_and_its_own(start: Start, directory: Path) -> None:
    mark = f"seen-from-the-host-{os.getpid()}"
    outside = [Path("/tmp") / mark, Path("/dev/shm") / mark]
    for path in outside:
        path.touch()
    try:
        look = f"ls -A /dev/shm; ls /tmp/{mark} /dev/shm/{mark} 2>/dev/null; stat -c '%a %u' /tmp /dev/shm"
        answer = run(start, directory, f"{look}; touch /tmp/in-{mark}")
    finally:
        for path in outside:
            path.unlink()
    assert answer == "1777 0\n1777 0\n"
    assert not Path(f"/tmp/in-{mark}").exists()


def test_its_directory_is_there_though_tmp_hides_it(start: Start, directory: Path) -> None:
    assert str(directory).startswith("/tmp/")
    run(start, directory, "echo hello > file")
    assert (directory / "file").read_text() == "hello\n"


def test_mounts_made_inside_are_not_seen_outside(start: Start, directory: Path) -> None:
    before = mounts(directory)
    inside = directory / "inside"
    inside.mkdir()
    run(start, directory, "mount -t tmpfs none inside && touch inside/file && grep -c inside /proc/self/mounts")
    assert list(inside.iterdir()) == []
    assert mounts(directory) == before


def test_ipc_objects_and_the_host_name_are_its_own(start: Start, directory: Path) -> None:
    host = os.uname().nodename
    outside = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("ipc", "uts", "mnt", "pid", "net", "user")}
    script = (
        "ipcmk -Q >/dev/null; ipcs -q | grep -c 0x; uname -n; "
        "for n in ipc uts mnt pid net user; do readlink /proc/self/ns/$n; done"
    )
    queues, name, *inside = run(start, directory, script, hostname="inside").splitlines()
    assert (queues, name) == ("1", "inside")
    same = [link == outside[which] for which, link in zip(outside, inside, strict=True)]
    assert same == [False, False, False, False, True, True]
    assert os.uname().nodename == host


def test_without_a_name_of_its_own_it_has_the_hosts(start: Start, directory: Path) -> None:
    assert run(start, directory, "uname -n") == os.uname().nodename + "\n"


def test_the_end_of_the_first_process_is_the_end_of_all(start: Start, directory: Path) -> None:
    script = "trap '' TERM HUP; echo up > up; while :; do sleep 1000; done"
    answer = start(["/bin/sh", "-c", script], namespaces=ALL, keep=[str(directory)], background=True)
    until(lambda: (directory / "up").exists(), "it did not start")
    os.kill(answer["init"], 9)
    until(lambda: not Path(f"/proc/{answer['pid']}/exe").exists(), "it is still there")


def test_a_sandbox_without_namespaces_is_the_host(start: Start, directory: Path) -> None:
    answer = start(["/bin/sh", "-c", "readlink /proc/self/ns/pid /proc/self/ns/mnt"])
    assert answer["out"].split() == [os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/mnt")]
    assert json.dumps(answer.get("init")) == "null"
