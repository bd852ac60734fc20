"""What is said of a host: what works there was seen to work, and what is taken away is missed, with what would help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import host
from sandbox.host import Fact, Ground
from sandbox.plan import plan
from sandbox.rehearse import rehearse
from sandbox.spec import Spec

pytestmark = pytest.mark.root

PROGRAM = """
import json, sys
from sandbox import host
from sandbox.host import Ground
areas = [area for area in host.AREAS if area.__name__ in sys.argv[3:]]
print(json.dumps([fact for area in areas for fact in area(Ground(*sys.argv[1:3]))]))
"""

NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup", "net", "time")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    for name in ("directory", "state"):
        (tmp_path / name).mkdir()
    return Ground(str(tmp_path / "directory"), str(tmp_path / "state"))


def facts(ground: Ground, *areas: str, through: list[str] | None = None) -> dict[str, Fact]:
    """By what they are about, as a process of its own finds them, started by the words of `through`."""
    command = [*(through or []), sys.executable, "-c", PROGRAM, *ground, *areas]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [Fact(*row) for row in json.loads(done.stdout)]
    assert len({fact.what for fact in found}) == len(found)
    return {fact.what: fact for fact in found}


def without(*capabilities: str) -> list[str]:
    dropped = ",".join(f"-{name}" for name in capabilities)
    return ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]


def traces(ground: Ground) -> tuple[list[str], list[str], list[str]]:
    """What a probe might leave: mounts, groups, children."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if ground.directory in line]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/doctor-{os.getpid()}")]
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return mounts, groups, children


def test_every_fact_says_how_it_was_seen_or_why_not_and_what_would_help(ground: Ground) -> None:
    before = traces(ground)
    found = list(host.probe(ground))
    assert traces(ground) == before
    assert os.listdir(ground.directory) == []
    for fact in found:
        if fact.works:
            assert fact.how, fact
            assert (fact.why_not, fact.remedy) == ("", "")
        else:
            assert fact.why_not, fact
            assert fact.remedy, fact
            assert fact.how == ""
    assert len({fact.what for fact in found}) == len(found)


def test_here_root_has_every_namespace_and_every_view(ground: Ground) -> None:
    found = facts(ground, "_namespaces", "_views")
    assert [fact for fact in found.values() if not fact.works] == []
    assert {f"{name} namespace" for name in (*NAMESPACES, "user")} <= set(found)


def test_without_the_power_to_mount_there_is_no_namespace_and_nothing_in_it(ground: Ground) -> None:
    found = facts(ground, "_namespaces", "_views", through=without("sys_admin"))
    works = [what for what, fact in found.items() if fact.works]
    assert works == ["user namespace"]
    for what in ("mount namespace", "private /tmp with a size", "volumes", "root file system of layers"):
        assert found[what].why_not.startswith("cannot make mount: Operation not permitted")
        assert "CAP_SYS_ADMIN" in found[what].remedy


def test_a_capability_that_is_missing_is_named_and_the_rest_works(ground: Ground) -> None:
    found = facts(ground, "_privileges", through=without("sys_nice", "setpcap"))
    for what in ("nice below what it is", "scheduling fifo, rr", "capabilities: bounding set"):
        assert not found[what].works
        assert found[what].remedy.startswith("run as root, or in a container that is given CAP_")
    assert found["no_new_privs"].works


def test_where_groups_cannot_be_written_there_are_none(ground: Ground) -> None:
    read_only = (
        'mount -o remount,bind,ro /sys/fs/cgroup; for d in /sys/fs/cgroup/*/; do mount -o remount,bind,ro "$d"; done'
    )
    through = ["unshare", "-m", "/bin/sh", "-c", f'({read_only}) 2>/dev/null; exec "$@"', "sh"]
    found = facts(ground, "_groups", through=through)
    assert list(found) == ["cgroups"]
    assert not found["cgroups"].works
    assert "Read-only file system" in found["cgroups"].why_not
    assert "cgroup of its own" in found["cgroups"].remedy


def test_a_user_namespace_that_may_not_be_is_missed(ground: Ground) -> None:
    # The limit is per user namespace: in one that is made for it, none may be made below.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    through = ["unshare", "-Ur", "/bin/sh", "-c", script, "sh"]
    found = facts(ground, "_namespaces", through=through)
    assert not found["user namespace"].works
    assert "user.max_user_namespaces" in found["user namespace"].remedy


def test_where_a_program_is_missing_it_is_named(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ground.directory)
    found = {fact.what: fact for area in host.AREAS if area.__name__ == "_images" for fact in area(ground)}
    assert [(fact.works, fact.why_not) for fact in found.values()] == [
        (False, "there is no skopeo"),
        (False, "there is no zstd"),
    ]
    assert all("install" in fact.remedy for fact in found.values())


def test_what_goes_with_a_namespace_is_missed_though_only_it_was_required() -> None:
    """Less the namespace the plan has no such part, and so none that fails."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setresuid(65534, 65534, 65534)
            failed = rehearse(plan(Spec(("mount",)), ("/tmp",)))
            optional = rehearse(plan(Spec(("mount",)), ()))
            status = 0 if failed is not None and failed[0] == "mount" and optional is None else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.exit_facts
def test_the_exit_status_that_a_pidfd_tells_is_the_childs() -> None:
    (fact,) = host.exits()
    assert fact.works
    assert fact.how == "a child exited with 77, read by its pidfd"


def test_a_kernel_that_does_not_tell_exit_statuses_is_said_with_what_that_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox.syscalls.pidfd_exit_status", lambda pidfd: None)
    (fact,) = host.exits()
    assert not fact.works
    assert fact.remedy == "Linux 6.15 or newer; before, a run that outlives its keeper ends LOST"
