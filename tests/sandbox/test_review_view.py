"""What of the host is left in a mount namespace where nobody sees it, and what a task's root can do to what it sees."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from roots import make_root
from starting import Start

pytestmark = pytest.mark.root

ALL = ["pid", "mount", "ipc", "uts", "cgroup", "net"]


def run(start: Start, script: str, namespaces: list[str] = ALL, **spec: Any) -> list[str]:
    answer = start(["/bin/sh", "-c", script], namespaces=namespaces, spec=spec)
    assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
    lines: list[str] = answer["out"].splitlines()
    return lines


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the host's that no private one hides, with another file system mounted below."""
    top = Path(f"/srv/test-review-{os.getpid()}")
    below = top / "tasks/other/sandbox"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "review", below], check=True)
    try:
        yield top
    finally:
        subprocess.run(["umount", below], check=True)
        subprocess.run(["rm", "-rf", top], check=True)


MOUNTED = "grep -c ' - tmpfs review ' /proc/self/mountinfo || true"


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_mounted_below_a_hidden_directory_is_not_kept_in_use(
    start: Start, directory: Path, place: Path, read_only: bool
) -> None:
    asked = {"sandbox": str(directory), "read_only": read_only}
    assert run(start, MOUNTED, **asked) == ["1"]
    assert run(start, MOUNTED, hide=[str(place)], **asked) == ["1", "0"]


def test_what_is_mounted_below_tmp_is_not_kept_in_use(start: Start, directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as below:
        subprocess.run(["mount", "-t", "tmpfs", "review", below], check=True)
        try:
            assert run(start, MOUNTED, tmp=False) == ["1"]
            assert run(start, MOUNTED, sandbox=str(directory)) == ["1", "0"]
        finally:
            subprocess.run(["umount", below], check=True)


def test_a_volume_and_a_kept_directory_below_a_hidden_one_keep_what_is_mounted_in_them(
    start: Start, directory: Path, place: Path
) -> None:
    (place / "tasks/other/sandbox/there").touch()
    volumes = [{"source": str(place / "tasks"), "target": "/mnt"}]
    asked = {"sandbox": str(directory), "read_only": True, "hide": [str(place)], "volumes": volumes}
    script = f"ls /mnt/other/sandbox {place}/tasks/other/sandbox"
    answer = start(["/bin/sh", "-c", script], namespaces=ALL, keep=[str(place / "tasks")], spec=asked)
    assert answer["out"].split().count("there") == 2, answer


def test_the_host_keeps_what_a_sandbox_lets_go(start: Start, directory: Path, place: Path) -> None:
    (place / "tasks/other/sandbox/there").touch()
    run(start, "true", sandbox=str(directory), read_only=False, hide=[str(place)])
    assert (place / "tasks/other/sandbox/there").exists()


# -- devices


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


def test_a_root_of_its_own_gives_no_power_over_the_mode_of_the_hosts_null(
    start: Start, directory: Path, rootfs: Path
) -> None:
    before = os.stat("/dev/null").st_mode
    shutil.copy("/bin/chmod", rootfs / "bin")
    script = "chmod 700 /bin && echo can; chmod 600 /proc/keys 2> /dev/null || echo cannot; cat /proc/keys"
    try:
        assert run(start, script, sandbox=str(directory), root={"lower": [str(rootfs)]}, masks=True) == [
            "can",
            "cannot",
        ]
        assert os.stat("/dev/null").st_mode == before
    finally:
        os.chmod("/dev/null", stat.S_IMODE(before))


def test_a_device_of_the_hosts_is_written_but_its_mode_and_owner_are_not(start: Start, directory: Path) -> None:
    node = Path("/dev/thermos-review")
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    try:
        script = (
            f"echo x > {node} && echo written; chmod 600 {node} 2>/dev/null || chown 1 {node} 2>/dev/null || echo no"
        )
        asked = {"sandbox": str(directory), "dev": True, "devices": [str(node)]}
        assert run(start, script, **asked) == ["written", "no"]
        assert os.stat(node).st_uid == 0
    finally:
        node.unlink()


def open_it(node: Path | str) -> str:
    return f"(: < {node}) 2>/dev/null && echo opened || echo no"


def test_a_node_that_somebody_left_on_the_host_is_no_device(start: Start, directory: Path, place: Path) -> None:
    node = place / "node"
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    asked = {"sandbox": str(directory), "read_only": True}
    assert run(start, open_it(node), **asked) == ["opened"]
    assert run(start, open_it(node), dev=True, **asked) == ["opened", "no"]


@pytest.mark.parametrize("plain", [True, False])
def test_a_node_in_a_root_of_its_own_is_no_device(start: Start, directory: Path, rootfs: Path, plain: bool) -> None:
    os.mknod(rootfs / "node", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    root = {"lower": [str(rootfs)], "plain": plain}
    script = f"{open_it('/node')}; {open_it('/dev/zero')}"
    assert run(start, script, sandbox=str(directory), root=root) == ["no", "opened"]


# -- groups


@pytest.mark.parametrize("net", [True, False])
@pytest.mark.parametrize("foreign", [True, False])
def test_who_has_a_cgroup_namespace_does_not_see_the_groups_of_others(
    start: Start, directory: Path, rootfs: Path, net: bool, foreign: bool
) -> None:
    root = {"lower": [str(rootfs)]} if foreign else None
    asked = {"sandbox": str(directory), "root": root, "masks": True, "read_only": not foreign}
    names = ["pid", "mount", *(["net"] if net else [])]
    script = "for f in /sys/fs/cgroup/*; do echo $f; done"
    seen = run(start, script, names, **asked)
    assert len(seen) > 1
    assert run(start, script, [*names, "cgroup"], **asked)[len(seen) :] == ["/sys/fs/cgroup/*"]
