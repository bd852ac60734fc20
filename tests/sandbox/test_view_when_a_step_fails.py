"""Whichever step of a sandbox fails: it is named, nothing is executed, and the host is as it was."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from host_mounts import mounts
from roots import make_root
from starting import STARTER, Start

from sandbox.plan import plan
from sandbox.spec import Root, Spec, Users, Volume

pytestmark = pytest.mark.root

ALL = ["pid", "mount", "ipc", "uts", "cgroup", "net", "time"]


def specs(directory: Path, root: Path) -> dict[str, dict[str, Any]]:
    view = {
        "sandbox": str(directory),
        "read_only": True,
        "dev": True,
        "masks": True,
        "clocks": [1, 1],
        "hide": ["/var/lib"],
        "volumes": [{"source": "/etc", "target": "/tmp/etc"}, {"source": "/etc/passwd", "target": "/tmp/passwd"}],
    }
    users = {"uids": [[0, 100000, 65536]], "gids": [[0, 100000, 65536]]}
    own = {"root": {"lower": [str(root)]}, "hide": []}
    return {
        "host": view,
        "root": {**view, **own},
        "users": {**view, **own, "users": users, "sandbox_id_mapped": True},
    }


def steps_of(spec: dict[str, Any]) -> list[str]:
    """The part of each step, outside and inside."""
    more = dict(spec)
    more["volumes"] = [Volume(**each) for each in spec["volumes"]]
    if "root" in spec:
        more["root"] = Root(**spec["root"])
    namespaces = list(ALL)
    if "users" in spec:
        more["users"] = Users.range(100000)
        namespaces.append("user")
    made = plan(Spec(namespaces, hostname="inside", **more))
    outside = {op[3][0]: op[1] for op in reversed(made.outside)}  # what is held already is not taken again
    return [*reversed(outside.values()), *(op[1] for op in made.first)]


@pytest.mark.parametrize("which", ["host", "root", "users"])
def test_each_step_that_fails_is_named_and_leaves_nothing(
    start: Start, directory: Path, tmp_path: Path, which: str
) -> None:
    root = make_root(tmp_path / "root")
    files = sorted(root.rglob("*"))
    spec = specs(directory, root)[which]
    namespaces = [*ALL, "user"] if which == "users" else ALL
    before = mounts(directory.parent)
    parts = steps_of(spec)
    assert len(parts) > 30
    for number, part in enumerate(parts):
        answer = start(
            ["/bin/touch", str(directory / "executed")],
            namespaces=namespaces,
            hostname="inside",
            credentials=[0, 0, []] if which == "users" else None,
            spec=spec,
            fail=[number, errno.EIO],
        )
        told = (answer.get("step"), answer.get("errno"), answer["left"])
        assert told == (f"make {part}", errno.EIO, []), (number, answer)
    assert not (directory / "executed").exists()
    assert mounts(directory.parent) == before
    assert sorted(root.rglob("*")) == files


# -- rehearsing


def test_a_rehearsal_of_what_the_host_has_finds_nothing_and_leaves_nothing(start: Start, directory: Path) -> None:
    before = mounts(directory.parent)
    spec = {"sandbox": str(directory), "read_only": True, "dev": True, "masks": True}
    answer = start([], namespaces=ALL, spec=spec, rehearse=["/dev", "net"])
    assert (answer["failure"], answer["left"], mounts(directory.parent)) == (None, [], before)


def test_a_rehearsal_tells_of_what_is_required_alone(start: Start, directory: Path) -> None:
    volumes = [{"source": "/no/such", "target": "/tmp/v"}]
    asked: dict[str, Any] = {"namespaces": ALL, "spec": {"sandbox": str(directory), "volumes": volumes}}
    assert start([], rehearse=["mount"], **asked)["failure"] is None
    answer = start([], rehearse=["mount", "volume /tmp/v"], **asked)
    assert answer["failure"] == ["volume /tmp/v", "cannot make volume /tmp/v: No such file or directory (/no/such)"]
    assert answer["left"] == []


def test_a_rehearsal_of_one_who_may_do_nothing_names_the_first_thing(start: Start, directory: Path) -> None:
    asked: dict[str, Any] = {"namespaces": ALL, "spec": {"sandbox": str(directory)}, "caller": 65534}
    for part in ("pid", "mount", "net"):
        failed, why = start([], rehearse=[part], **asked)["failure"]
        assert failed == part
        assert why.startswith(f"cannot make {part}: Operation not permitted")
    assert start([], rehearse=[], **asked)["failure"] is None


def test_who_rehearses_and_is_killed_leaves_nothing(directory: Path) -> None:
    """What is made is only made to go away."""
    asked = {
        "namespaces": ALL,
        "directory": str(directory),
        "never": str(directory.parent / "never"),
        "argv": [],
        "rehearse": [],
        "spec": {"sandbox": str(directory), "read_only": True, "dev": True, "masks": True},
    }
    before = mounts(directory.parent)
    for _ in range(5):
        with subprocess.Popen(STARTER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
            assert starter.stdin
            starter.stdin.write(json.dumps(asked).encode())
            starter.stdin.close()
            starter.kill()
            assert starter.stdout
            starter.stdout.read()  # until the last of those who have it open is gone
    assert mounts(directory.parent) == before


def test_a_step_that_is_a_bug_of_ours_is_named_too(start: Start, directory: Path) -> None:
    """A plan of a newer version, say: what it does not know it does not leave out."""
    answer = start(["/bin/true"], namespaces=ALL, spec={"sandbox": str(directory)}, unknown=True)
    assert (answer["step"], answer["text"], answer["left"]) == ("make future", "KeyError('no_such_step')", [])


# -- where the kernel is older


def test_without_mount_setattr_mounts_are_remounted_one_by_one(start: Start, directory: Path) -> None:
    """Before Linux 5.12. The filter that answers as an older kernel would is inherited by all that it starts."""
    through = ["/usr/bin/python3", "-I", str(Path(__file__).with_name("older_kernel.py"))]
    top = Path(f"/srv/test-older-{os.getpid()}")
    (top / "source/below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", f"{top}/source/below"], check=True)
    try:
        volumes = [{"source": f"{top}/source", "target": "/tmp/v"}]
        spec = {"sandbox": str(directory), "read_only": True, "volumes": volumes, "hide": ["/var/lib"], "masks": True}
        script = """
            for d in / /etc /sys /tmp/v /tmp/v/below /var/lib; do touch $d/x 2>/dev/null && echo "written: $d"; done
            (echo 0 > /proc/sys/vm/overcommit_memory) 2>/dev/null && echo "written: /proc/sys"
            touch ok /tmp/ok; grep ' /proc/sys ' /proc/mounts | cut -d' ' -f4
        """
        answer = start(["/bin/sh", "-c", script], through=through, namespaces=ALL, spec=spec)
        assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
        (options,) = answer["out"].splitlines()
        assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    finally:
        subprocess.run(["umount", f"{top}/source/below"], check=True)
        subprocess.run(["rm", "-rf", str(top)], check=True)
