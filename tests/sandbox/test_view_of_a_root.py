"""A sandbox with a root of its own: nothing of the host is in it but what was asked."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from roots import make_root
from starting import Start

pytestmark = pytest.mark.root

ALL = ["pid", "mount", "ipc", "uts", "cgroup", "net", "time"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("roots") / "one, with: odd\\name")


@pytest.fixture
def changes(tmp_path: Path) -> Path:
    for name in ("upper", "work"):
        (tmp_path / "changes" / name).mkdir(parents=True)
    return tmp_path / "changes"


def run(start: Start, directory: Path, script: str, **spec: Any) -> list[str]:
    answer = start(["/bin/sh", "-c", script], namespaces=ALL, spec={"sandbox": str(directory), **spec})
    assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
    lines: list[str] = answer["out"].splitlines()
    return lines


def test_nothing_of_the_hosts_is_there_but_the_sandbox(start: Start, root: Path, directory: Path) -> None:
    script = f"ls /; ls /bin; ls /usr 2>/dev/null; echo hello > {directory}/file"
    out = run(start, directory, script, root={"lower": [str(root)]})
    made = {"dev", "proc", "sys", "tmp", "var", directory.parts[1]}
    assert out[: out.index("cat")] == sorted({*made, *(path.name for path in root.iterdir())})
    assert "python3" not in out
    assert (directory / "file").read_text() == "hello\n"


def test_changes_in_memory_are_gone_and_the_layers_are_as_they_were(start: Start, root: Path, directory: Path) -> None:
    before = sorted(path for path in root.rglob("*"))
    asked = {"lower": [str(root)], "size": 1 << 20}
    assert run(start, directory, "touch /new /bin/new && ls /new", root=asked) == ["/new"]
    assert sorted(path for path in root.rglob("*")) == before


def test_changes_in_memory_have_their_size(start: Start, root: Path, directory: Path) -> None:
    asked = {"lower": [str(root)], "size": 64 << 10}
    assert run(start, directory, "(cat /bin/sh /bin/sh > /big) 2>/dev/null || echo full", root=asked) == ["full"]


def test_changes_on_disk_are_there_the_next_time(start: Start, root: Path, directory: Path, changes: Path) -> None:
    asked = {"lower": [str(root)], "upper": f"{changes}/upper", "work": f"{changes}/work"}
    run(start, directory, "echo one > /new", root=asked)
    assert (changes / "upper/new").read_text() == "one\n"
    assert run(start, directory, "cat /new", root=asked) == ["one"]
    assert not (root / "new").exists()


def test_the_topmost_layer_is_what_is_seen(start: Start, root: Path, directory: Path, tmp_path: Path) -> None:
    for name in ("above", "below"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        (tmp_path / name / f"only-{name}").touch()
    layers = [f"{tmp_path}/above", f"{tmp_path}/below", str(root)]
    assert run(start, directory, "cat /file; echo; ls -d /only*", root={"lower": layers}) == [
        *("above", "/only-above", "/only-below")
    ]


def test_a_hundred_layers_can_be_named(start: Start, root: Path, directory: Path, tmp_path: Path) -> None:
    layers = [tmp_path / f"layer-{number:03}-{'x' * 60}" for number in range(100)]
    for layer in layers:
        layer.mkdir()
        (layer / layer.name[:9]).touch()
    asked = {"lower": [*map(str, layers), str(root)]}
    assert run(start, directory, "ls / > list; ls -d /layer-000 /layer-099", root=asked) == ["/layer-000", "/layer-099"]


def test_a_plain_root_is_the_directory_itself(start: Start, directory: Path, tmp_path: Path) -> None:
    root = make_root(tmp_path / "plain")
    asked = {"lower": [str(root)], "plain": True}
    run(start, directory, "echo one > /new", root=asked)
    assert (root / "new").read_text() == "one\n"
    script = "touch /other 2>/dev/null || echo refused; touch /tmp/x /dev/shm/x file"
    assert run(start, directory, script, root=asked, read_only=True)[-1] == "refused"


@pytest.mark.parametrize("how", ["memory", "disk"])
def test_a_read_only_root_cannot_be_written(start: Start, root: Path, directory: Path, changes: Path, how: str) -> None:
    asked: dict[str, Any] = {"lower": [str(root)]}
    if how == "disk":
        asked |= {"upper": f"{changes}/upper", "work": f"{changes}/work"}
    script = "for d in / /bin /var; do touch $d/x 2>/dev/null && echo $d; done; touch /tmp/x file /dev/shm/x; echo done"
    assert run(start, directory, script, root=asked, read_only=True, dev=True) == ["done"]


def test_the_old_root_is_nowhere(start: Start, root: Path, directory: Path) -> None:
    mounts = run(start, directory, "cat /proc/self/mountinfo", root={"lower": [str(root)]}, dev=True, masks=True)
    points = [line.split()[4] for line in mounts]
    assert points.count("/") == 1
    assert {point for point in points if not point.startswith(("/proc", "/dev", "/sys", "/tmp", "/var/tmp"))} == {
        *("/", str(directory))
    } - ({str(directory)} if str(directory).startswith("/tmp") else set())
    assert run_escape(start, root, directory) == sorted(os.listdir(root))[:1]


def run_escape(start: Start, root: Path, directory: Path) -> list[str]:
    """From above the root of every process that is seen."""
    script = "cd /; cd ../../../..; ls -d bin; ls -d /proc/1/root/usr /proc/1/cwd/usr 2>/dev/null"
    answer = start(
        ["/bin/sh", "-c", script],
        namespaces=ALL,
        logs=".logs/p/1",
        spec={"sandbox": str(directory), "root": {"lower": [str(root)]}},
    )
    lines: list[str] = answer["out"].splitlines()
    return lines


@pytest.mark.parametrize("link", ["/srv", "../../../../../srv", "/proc/1/root/srv"])
def test_no_link_in_a_root_leads_a_target_out_of_it(start: Start, directory: Path, tmp_path: Path, link: str) -> None:
    root = make_root(tmp_path / "bad")
    outside = Path(f"/srv/test-link-{os.getpid()}")
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").touch()
    (root / "mnt").symlink_to(link)
    (root / "srv").mkdir()
    try:
        outside.mkdir(parents=True)
        volumes = [{"source": str(source), "target": f"/mnt/{outside.name}"}]
        answer = start(
            ["/bin/sh", "-c", f"ls /srv/{outside.name}"],
            namespaces=ALL,
            spec={"sandbox": str(directory), "root": {"lower": [str(root)]}, "volumes": volumes},
        )
        assert answer["left"] == []
        assert list(outside.iterdir()) == []
        if link.startswith("/proc"):
            assert answer["step"] == f"make volume /mnt/{outside.name}"
        else:
            assert answer["out"] == "file\n"
    finally:
        outside.rmdir()


def test_a_volume_of_one_file_is_made_where_it_is_missing(
    start: Start, root: Path, directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    volumes = [{"source": f"{tmp_path}/hosts", "target": "/etc/net/hosts"}]
    script = "cat /etc/net/hosts; (echo > /etc/net/hosts) 2>/dev/null || echo refused"
    asked = {"root": {"lower": [str(root)]}, "volumes": volumes}
    assert run(start, directory, script, **asked) == ["127.0.0.1 localhost", "refused"]


@pytest.mark.parametrize("network", [True, False])
def test_sys_is_there_and_cannot_be_written(start: Start, root: Path, directory: Path, network: bool) -> None:
    namespaces = [name for name in ALL if network or name != "net"]
    hosts = set(os.listdir("/sys/class/net"))
    script = "ls /sys/class/net; ls -d /sys/fs/cgroup; mkdir /sys/fs/cgroup/unified/x 2>/dev/null || echo no"
    answer = start(
        ["/bin/sh", "-c", script],
        namespaces=namespaces,
        spec={"sandbox": str(directory), "root": {"lower": [str(root)]}},
    )
    *links, groups, made = answer["out"].splitlines()
    assert (groups, made) == ("/sys/fs/cgroup", "no")
    if network:
        assert links == ["lo"]
    else:
        assert hosts & set(os.listdir("/sys/class/net")) <= set(links), "but those that come or go while this runs"


def test_a_layer_that_is_missing_is_named(start: Start, directory: Path) -> None:
    answer = start(["/bin/sh"], namespaces=ALL, spec={"sandbox": str(directory), "root": {"lower": ["/no/such"]}})
    assert (answer["step"], answer["errno"]) == ("make root", errno.ENOENT)
    assert answer["text"] == "No such file or directory (/no/such)"


def test_a_root_without_a_shell_has_a_first_process_all_the_same(start: Start, tmp_path: Path, directory: Path) -> None:
    (tmp_path / "empty").mkdir()
    spec = {"sandbox": str(directory), "root": {"lower": [f"{tmp_path}/empty"]}}
    answer = start(["/bin/sh"], namespaces=ALL, spec=spec)
    assert (answer["step"], answer["errno"]) == ("execute /bin/sh", errno.ENOENT)
    assert answer["init"] > 0


# -- a user namespace of many ids


@pytest.fixture
def owned(root: Path) -> Iterator[Path]:
    """A file of uid 7 in the root."""
    (root / "owned").touch()
    os.chown(root / "owned", 7, 8)
    yield root
    (root / "owned").unlink()


USERS = {"uids": [[0, 100000, 65536]], "gids": [[0, 100000, 65536]]}


@pytest.mark.parametrize("how", ["memory", "disk", "plain"])
def test_ids_on_disk_are_those_of_the_namespace(
    start: Start, owned: Path, directory: Path, changes: Path, tmp_path: Path, how: str
) -> None:
    asked: dict[str, Any] = {"lower": [str(owned)]}
    if how == "disk":
        asked |= {"upper": f"{changes}/upper", "work": f"{changes}/work"}
    if how == "plain":
        asked = {"lower": [str(make_root(tmp_path / "plain"))], "plain": True}
        (tmp_path / "plain/owned").touch()
        os.chown(tmp_path / "plain/owned", 7, 8)
    os.chown(directory, 1000, 1001)
    script = "id -u; touch /new 2>/dev/null || echo refused; touch mine; stat -c '%u %g' /owned /bin mine /proc/self/"
    spec = {"sandbox": str(directory), "sandbox_id_mapped": True, "root": asked, "users": USERS, "dev": True}
    answer = start(["/bin/sh", "-c", script], namespaces=[*ALL, "user"], credentials=[1000, 1001, [1001]], spec=spec)
    assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
    assert answer["out"].splitlines() == ["1000", "refused", "7 8", "0 0", "1000 1001", "1000 1001"]
    mine = (directory / "mine").stat()
    assert (mine.st_uid, mine.st_gid) == (1000, 1001)


def test_root_inside_is_nobody_outside(start: Start, directory: Path) -> None:
    shadow = "cat /etc/shadow 2>/dev/null || echo refused; cat /proc/self/uid_map"
    spec = {"sandbox": str(directory), "sandbox_id_mapped": True, "users": USERS}
    argv = ["/bin/sh", "-c", shadow]
    answer = start(argv, namespaces=[*ALL, "user"], credentials=[0, 0, []], spec=spec)
    assert answer["out"].split() == ["refused", "0", "100000", "65536"]


def test_a_volume_whose_ids_cannot_be_mapped_is_named(start: Start, directory: Path) -> None:
    """The kernel's own file systems cannot."""
    assert subprocess.run(["stat", "-fc", "%T", "/sys"], capture_output=True, text=True).stdout == "sysfs\n"
    volumes = [{"source": "/sys/kernel", "target": "/tmp/v", "id_mapped": True}]
    spec = {"sandbox": str(directory), "sandbox_id_mapped": True, "users": USERS, "volumes": volumes}
    asked: dict[str, Any] = {"namespaces": [*ALL, "user"], "credentials": [0, 0, []], "spec": spec}
    answer = start(["/bin/ls", "/tmp/v"], **asked)
    assert (answer["step"], answer["errno"], answer["left"]) == ("make ids of volume /tmp/v", errno.EINVAL, [])
    assert answer["text"] == "its file system cannot map ids: Invalid argument (/sys/kernel)"
    assert start(["/bin/ls", "/tmp/v"], left_out=["ids of volume /tmp/v"], **asked)["status"] == 0
