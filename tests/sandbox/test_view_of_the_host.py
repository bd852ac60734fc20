"""A sandbox with the host's files: what is written, what is hidden, what is its own."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starting import Start

pytestmark = pytest.mark.root

ALL = ["pid", "mount", "ipc", "uts", "cgroup", "net", "time"]


#: Each process has logs of its own: what is there is appended to.
RUNS = itertools.count()


def run(start: Start, script: str, namespaces: list[str] = ALL, **spec: Any) -> list[str]:
    """The lines that a shell in a sandbox prints."""
    more = {name: spec.pop(name) for name in ("credentials", "keep", "through") if name in spec}
    logs = f".logs/run/{next(RUNS)}"
    answer = start(["/bin/sh", "-c", script], namespaces=namespaces, spec=spec, logs=logs, **more)
    assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
    lines: list[str] = answer["out"].splitlines()
    return lines


def failed(start: Start, **spec: Any) -> tuple[str, int, str]:
    answer = start(["/bin/true"], namespaces=ALL, spec=spec)
    assert answer["left"] == []
    return answer["step"], answer["errno"], answer["text"]


@pytest.fixture
def place(directory: Path) -> Iterator[Path]:
    """A directory of the host's that no private one hides."""
    top = Path(f"/srv/test-view-{os.getpid()}")
    top.mkdir(parents=True)
    yield top
    for path in subprocess.run(["findmnt", "-rno", "TARGET"], capture_output=True, text=True).stdout.split():
        if path.startswith(str(top)):
            subprocess.run(["umount", path], check=True)
    subprocess.run(["rm", "-rf", str(top)], check=True)


# -- what can be written


def test_only_the_sandbox_its_own_and_what_was_asked_can_be_written(start: Start, directory: Path, place: Path) -> None:
    for name in ("open", "kept", "other"):
        (place / name).mkdir()
    script = f"""
        for d in / /etc /usr /root /var {place} {place}/other /sys /proc/sys/kernel /sys/fs/cgroup; do
            touch $d/x 2>/dev/null && echo "written: $d"
        done
        for d in . /tmp /var/tmp /dev/shm {place}/open {place}/kept; do touch $d/x || echo "not written: $d"; done
    """
    volumes = [{"source": f"{place}/open", "target": f"{place}/open", "read_only": False}]
    spec = {"sandbox": str(directory), "read_only": True, "dev": True, "volumes": volumes}
    answer = start(["/bin/sh", "-c", script], namespaces=ALL, keep=[f"{place}/kept"], spec=spec)
    assert answer["out"] == answer["err"] == ""
    assert (directory / "x").exists()
    assert (place / "open/x").exists()
    assert (place / "kept/x").exists()


def test_mounts_below_the_root_are_read_only_too(start: Start, directory: Path, place: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    script = f"touch {place}/x 2>&1 || echo refused"
    assert run(start, script, sandbox=str(directory), read_only=True)[-1] == "refused"
    assert run(start, f"touch {place}/x", sandbox=str(directory)) == []


def test_what_the_host_mounts_later_is_not_there_to_be_written(start: Start, directory: Path, place: Path) -> None:
    """Where the root is not read-only it is: a removable disk, say."""
    later = f"mount -t tmpfs none {place}; touch {place}/later {directory}/go"
    host = f'((while [ ! -e {directory}/up ]; do :; done; {later}) &); exec "$@"'
    through = ["unshare", "--mount", "--propagation", "shared", "/bin/sh", "-c", host, "sh"]
    for read_only, seen in ((True, []), (False, ["later"])):
        script = f"touch up; while [ ! -e go ]; do :; done; rm up go; ls {place}"
        answer = run(start, script, sandbox=str(directory), read_only=read_only, through=through)
        assert answer == seen


def test_read_only_can_not_be_undone_by_a_mount_that_was_there(start: Start, directory: Path) -> None:
    """Each mount is read-only, not only the uppermost."""
    out = run(
        start, "grep -v -E ' (/tmp|/var/tmp|/dev|/proc)(/| )' /proc/mounts", sandbox=str(directory), read_only=True
    )
    assert [line for line in out if line.split()[3].split(",")[0] != "ro"] == []


# -- /dev


def test_there_are_the_usual_devices_and_no_others(start: Start, directory: Path) -> None:
    script = """
        ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c
        (echo x > /dev/full) 2>/dev/null || echo full; stat -c '%a %t:%T %u' /dev/null /dev/tty
        readlink /dev/stdin /dev/fd; ls /dev/pts; python3 -c 'import os; print(os.ttyname(os.openpty()[1]))'
    """
    spec = {"sandbox": str(directory), "read_only": True, "dev": True}
    out = run(start, script, **spec)
    names = ["fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty"]
    assert out[:14] == [*names, "urandom", "zero"]
    assert out[14:] == [
        *("3", "3", "full", "666 1:3 0", "666 5:0 0", "/proc/self/fd/0", "/proc/self/fd", "ptmx", "/dev/pts/0")
    ]


def test_terminals_of_the_host_are_not_there(start: Start, directory: Path) -> None:
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    script = f"ls {name} 2>/dev/null || echo none"
    assert run(start, script, sandbox=str(directory), dev=True) == ["none"]
    assert run(start, script, sandbox=str(directory)) == [name]
    os.close(ours)
    os.close(theirs)


def test_a_device_that_is_asked_for_is_there(start: Start, directory: Path) -> None:
    spec = {"sandbox": str(directory), "read_only": True, "dev": True, "devices": ["/dev/kmsg"]}
    assert run(start, "stat -c '%F' /dev/kmsg; ls /dev | wc -l", **spec) == ["character special file", "15"]


def test_a_device_that_is_missing_is_named(start: Start, directory: Path) -> None:
    step, number, text = failed(start, sandbox=str(directory), dev=True, devices=["/dev/no-such-device"])
    assert (step, number) == ("make device /dev/no-such-device", errno.ENOENT)
    assert text == "No such file or directory"


# -- /proc and /sys


def test_what_tells_about_the_host_is_hidden_and_what_changes_it_cannot_be_written(
    start: Start, directory: Path
) -> None:
    look = "cat /proc/keys /proc/timer_list | wc -c; ls -A /proc/acpi /sys/firmware /sys/kernel/debug | grep -v :"
    change = "(echo 1 > /proc/sys/vm/overcommit_memory) 2>&1; grep -E ' /proc/(bus|fs|irq|sys) ' /proc/mounts"
    for read_only in (True, False):
        spec = {"sandbox": str(directory), "read_only": read_only, "masks": True}
        nothing, refused, *mounts = filter(None, run(start, f"{look}; {change}", **spec))
        assert nothing == "0"
        assert refused.endswith("Read-only file system")
        assert [line.split()[3].split(",")[0] for line in mounts] == ["ro"] * 4
    out = run(start, "cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l", sandbox=str(directory))
    assert all(int(line) > 0 for line in out)


def test_sys_is_read_only_where_kernel_paths_are_masked(start: Start, directory: Path) -> None:
    script = "grep ' /sys/fs/cgroup' /proc/mounts | cut -d' ' -f4"
    out = run(start, script, sandbox=str(directory), masks=True)
    assert out
    assert {line.split(",")[0] for line in out[len(out) // 2 :]} == {"ro"}


def test_processes_of_others_are_not_seen_with_hidepid(start: Start, directory: Path) -> None:
    os.chown(directory, 65534, 65534)
    for hidepid, seen in ((True, "none"), (False, "/proc/1")):
        spec = {"sandbox": str(directory), "hidepid": hidepid, "credentials": [65534, 65534, []]}
        assert run(start, "ls -d /proc/1 2>/dev/null || echo none", **spec) == [seen]


# -- private directories


def test_private_directories_have_their_size(start: Start, directory: Path) -> None:
    spec = {"sandbox": str(directory), "tmp_size": 1 << 20, "shm_size": 2 << 20, "dev": True}
    script = (
        "df -k --output=size /tmp /var/tmp /dev/shm | tail -n 3; head -c 3m /dev/zero > /tmp/x 2>/dev/null || echo full"
    )
    assert [line.strip() for line in run(start, script, **spec)] == ["1024", "1024", "2048", "full"]


def test_a_hidden_directory_is_empty_but_for_what_is_to_be_there(start: Start, place: Path) -> None:
    for name in ("mine/sandbox", "other/sandbox"):
        (place / "tasks" / name).mkdir(parents=True)
        (place / "tasks" / name / "file").write_text(name)
    mine = place / "tasks/mine/sandbox"
    script = (
        f"ls -A {place}/tasks {place}/tasks/mine; cat file; touch new; touch {place}/tasks/x 2>/dev/null || echo sealed"
    )
    spec = {"sandbox": str(mine), "hide": [str(place / "tasks"), "/no/such/directory"], "read_only": True}
    answer = start(["/bin/sh", "-c", script], namespaces=ALL, directory=str(mine), spec=spec)
    assert (answer["status"], (mine / ".logs/p/0/stderr").read_text()) == (0, "")
    lines = (mine / ".logs/p/0/stdout").read_text().splitlines()
    assert lines == [f"{place}/tasks:", "mine", "", f"{place}/tasks/mine:", "sandbox", "mine/sandbox" + "sealed"]
    assert (mine / "new").exists()


@pytest.mark.parametrize("below", ["/dev/shm", "/var/tmp", "/tmp"])
def test_the_sandbox_is_there_wherever_it_is(start: Start, below: str) -> None:
    top = Path(below) / f"test-view-{os.getpid()}"
    (top / "sandbox").mkdir(parents=True)
    try:
        spec = {"sandbox": f"{top}/sandbox", "read_only": True, "dev": True}
        answer = start(["/bin/touch", "here"], namespaces=ALL, directory=f"{top}/sandbox", spec=spec)
        assert (answer["status"], (top / "sandbox/here").exists()) == (0, True)
    finally:
        subprocess.run(["rm", "-rf", str(top)], check=True)


# -- volumes


def test_a_volume_is_there_as_it_was_asked(start: Start, directory: Path, place: Path) -> None:
    for name in ("source/below", "target", "plain", "deep"):
        (place / name).mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", f"{place}/source/below"], check=True)
    (place / "source/below/file").touch()
    (place / "source/file").write_text("text")
    source = f"{place}/source"
    script = f"""
        cat {place}/target/file; echo; ls {place}/target/below; ls {place}/plain/below
        for d in {place}/target {place}/target/below {place}/plain; do touch $d/x 2>/dev/null && echo "written $d"; done
        touch /tmp/made/x && echo made; cat /tmp/one
    """
    volumes = [
        {"source": source, "target": f"{place}/target"},
        {"source": source, "target": f"{place}/plain", "recursive": False, "read_only": False},
        {"source": source, "target": "/tmp/made", "read_only": False},
        {"source": f"{source}/file", "target": "/tmp/one"},
    ]
    out = run(start, script, sandbox=str(directory), read_only=True, volumes=volumes)
    assert out == ["text", "file", f"written {place}/plain", "made", "text"]


def test_a_volume_has_no_devices_and_no_set_uid(start: Start, directory: Path, place: Path) -> None:
    volumes = [{"source": str(place), "target": "/tmp/v", "read_only": False}]
    script = (
        "grep ' /tmp/v ' /proc/mounts | cut -d' ' -f4; mknod /tmp/v/null c 1 3; cat /tmp/v/null 2>/dev/null || echo no"
    )
    options, refused = run(start, script, sandbox=str(directory), volumes=volumes)
    assert {"nosuid", "nodev", "rw"} <= set(options.split(","))
    assert refused == "no"


def test_a_target_that_is_missing_on_the_host_is_not_made_there(start: Start, directory: Path, place: Path) -> None:
    volumes = [{"source": str(place), "target": f"{place}/missing"}]
    for read_only in (True, False):
        step, number, text = failed(start, sandbox=str(directory), read_only=read_only, volumes=volumes)
        assert (step, number) == (f"make volume {place}/missing", errno.ENOENT)
        assert text == "it is not there, and nothing is made in what is not its own"
    assert list(place.iterdir()) == []


def test_a_source_that_is_missing_is_named(start: Start, directory: Path) -> None:
    volumes = [{"source": "/no/such", "target": "/tmp/v"}]
    step, number, text = failed(start, sandbox=str(directory), volumes=volumes)
    assert (step, number, text) == ("make volume /tmp/v", errno.ENOENT, "No such file or directory (/no/such)")


def test_a_source_may_be_a_link_of_the_hosts_but_not_a_magic_one(start: Start, directory: Path, place: Path) -> None:
    (place / "real").mkdir()
    (place / "real/file").touch()
    (place / "link").symlink_to("real")
    volumes = [{"source": f"{place}/link", "target": "/tmp/v"}]
    assert run(start, "ls /tmp/v", sandbox=str(directory), volumes=volumes) == ["file"]
    magic = [{"source": "/proc/self/root/etc", "target": "/tmp/v"}]
    assert failed(start, sandbox=str(directory), volumes=magic)[:2] == ("make volume /tmp/v", errno.ELOOP)


# -- the other namespaces


def test_a_process_sees_its_own_group_as_the_root_of_all(start: Start, directory: Path, group: dict[str, str]) -> None:
    from sandbox.cgroups import tree

    tree.make_leaf(group, "p.0")
    argv, asked = ["/bin/cat", "/proc/self/cgroup"], {"cgroups": tree.joins(group, "p.0"), "keep": [str(directory)]}
    inside = start(argv, namespaces=["mount", "cgroup"], **asked)["out"].splitlines()
    assert {line.split(":", 2)[2] for line in inside} == {"/"}
    (directory / ".logs/p/0/stdout").unlink()
    outside = start(argv, namespaces=["mount"], **asked)["out"].splitlines()
    assert any(line.endswith("/p.0") for line in outside)


def test_the_network_is_a_loopback_alone_and_it_is_up(start: Start, directory: Path) -> None:
    script = "ls /sys/class/net >/dev/null; tail -n +3 /proc/net/dev | cut -d: -f1; python3 -c '" + (
        'import socket as s; a = s.create_server(("127.0.0.1", 0)); s.create_connection(a.getsockname()); print(1)\''
    )
    assert [line.strip() for line in run(start, script, sandbox=str(directory))] == ["lo", "1"]


def test_clocks_are_ahead_as_asked(start: Start, directory: Path) -> None:
    import time

    script = "python3 -c 'import time; print(time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())'"
    before = (time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))
    (out,) = run(start, script, sandbox=str(directory), clocks=[1000.5, -20.25])
    monotonic, boottime, now = map(float, out.split())
    assert before[0] + 1000.5 < monotonic < time.monotonic() + 1000.5
    assert before[1] - 20.25 < boottime < time.clock_gettime(time.CLOCK_BOOTTIME) - 20.25
    assert abs(now - time.time()) < 60


def test_no_descriptor_of_the_caller_is_open_in_any_process(start: Start, directory: Path) -> None:
    """Not even one that the caller has for those whom it starts."""
    leak = "import os, sys; fd = os.open('/etc/passwd', 0); os.dup2(fd, 77); os.execv(sys.argv[1], sys.argv[1:])"
    argv = ["/bin/sh", "-c", "ls /proc/1/fd /proc/self/fd"]
    answer = start(
        argv, through=["/usr/bin/python3", "-I", "-c", leak], namespaces=ALL, spec={"sandbox": str(directory)}
    )
    assert answer["out"].split() == ["/proc/1/fd:", "0", "1", "2", "/proc/self/fd:", "0", "1", "2", "3"]


def test_in_a_chroot_a_sandbox_is_in_the_chroot(start: Start, directory: Path, place: Path) -> None:
    """Whoever enters a mount namespace is at its root, not at the root of who made it."""
    root = place / "root"
    root.mkdir()
    script = f'mount --rbind / {root}; mount -t tmpfs none {root}/srv; touch {root}/srv/inside; exec chroot {root} "$@"'
    through = ["unshare", "--mount", "/bin/sh", "-c", script, "sh"]
    answer = start(["/bin/ls", "/srv"], through=through, namespaces=ALL, spec={"sandbox": str(directory)})
    assert (answer["out"], answer["err"]) == ("inside\n", "")
