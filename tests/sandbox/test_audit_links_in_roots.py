"""Roots whose links lead to nothing, or to where the sandbox has something of its own: what is to be there is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from roots import make_root
from starting import Start

pytestmark = pytest.mark.root

ALL = ["pid", "mount", "ipc", "uts", "cgroup"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = make_root(tmp_path / "root")
    (made / "etc").mkdir()
    (made / "var").mkdir()
    return made


def run(start: Start, directory: Path, root: Path, script: str, **spec: Any) -> list[str]:
    asked = {"sandbox": str(directory), "root": {"lower": [str(root)]}, **spec}
    answer = start(["/bin/sh", "-c", script], namespaces=ALL, spec=asked)
    assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
    lines: list[str] = answer["out"].splitlines()
    return lines


@pytest.mark.parametrize(
    "link", ["../run/systemd/resolve/stub-resolv.conf", "/run/resolvconf/resolv.conf", "/tmp/resolv.conf", "again"]
)
def test_a_file_is_seen_through_a_link_that_leads_to_nothing(
    start: Start, directory: Path, tmp_path: Path, root: Path, link: str
) -> None:
    (tmp_path / "names").write_text("nameserver 192.0.2.1\n")
    (root / "etc/resolv.conf").symlink_to(link)
    (root / "etc/again").symlink_to("../there/is/nothing")
    volumes = [{"source": f"{tmp_path}/names", "target": "/etc/resolv.conf"}]
    assert run(start, directory, root, "cat /etc/resolv.conf", volumes=volumes) == ["nameserver 192.0.2.1"]
    assert os.readlink(root / "etc/resolv.conf") == link
    assert not (root / "run").exists()


@pytest.mark.parametrize("link", ["loop", "/" + "a/" * 1500 + "b"])
def test_a_link_that_leads_nowhere_is_named(
    start: Start, directory: Path, tmp_path: Path, root: Path, link: str
) -> None:
    (tmp_path / "names").touch()
    (root / "etc/loop").symlink_to(link)
    spec = {"sandbox": str(directory), "root": {"lower": [str(root)]}}
    volumes = [{"source": f"{tmp_path}/names", "target": "/etc/loop"}]
    answer = start(["/bin/sh", "-c", ":"], namespaces=ALL, spec={**spec, "volumes": volumes})
    assert (answer["step"], answer["left"]) == ("make volume /etc/loop", [])
    assert "Too many levels of symbolic links" in answer["text"], answer


@pytest.mark.parametrize("temporary", ["/tmp", "/var/tmp"])
@pytest.mark.parametrize("there", [True, False])
def test_one_temporary_directory_may_be_a_link_to_the_other(
    start: Start, directory: Path, tmp_path: Path, root: Path, temporary: str, there: bool
) -> None:
    other = {"/tmp": "/var/tmp", "/var/tmp": "/tmp"}[temporary]
    (root / temporary[1:]).symlink_to(other)
    if there:
        (root / other[1:]).mkdir(parents=True)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").touch()
    volumes = [{"source": f"{tmp_path}/source", "target": "/tmp/volume"}]
    script = "ls /tmp/volume /var/tmp/volume; touch /tmp/new; ls /var/tmp/new"
    lines = ["/tmp/volume:", "file", "", "/var/tmp/volume:", "file", "/var/tmp/new"]
    assert run(start, directory, root, script, volumes=volumes) == lines
    assert not (root / other[1:]).exists() or list((root / other[1:]).iterdir()) == []


@pytest.mark.parametrize("link", ["/tmp/data", "/var/tmp", "/dev/data"])
def test_a_volume_whose_target_leads_into_what_is_private_is_not_covered(
    start: Start, directory: Path, tmp_path: Path, root: Path, link: str
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").touch()
    (root / "data").symlink_to(link)
    (root / link[1:]).mkdir(parents=True)
    volumes = [{"source": f"{tmp_path}/source", "target": "/data/volume"}]
    assert run(start, directory, root, "ls /data/volume", volumes=volumes) == ["file"]


@pytest.mark.parametrize(
    ("source", "target", "why"), [("file", "/etc", "it is one itself"), ("", "/etc/file", "it is none")]
)
def test_a_file_over_a_directory_or_the_reverse_is_said(
    start: Start, directory: Path, tmp_path: Path, root: Path, source: str, target: str, why: str
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").touch()
    (root / "etc/file").touch()
    spec = {"sandbox": str(directory), "root": {"lower": [str(root)]}}
    volumes = [{"source": f"{tmp_path}/source/{source}".rstrip("/"), "target": target}]
    answer = start(["/bin/sh", "-c", ":"], namespaces=ALL, spec={**spec, "volumes": volumes})
    assert (answer["step"], answer["left"]) == (f"make volume {target}", [])
    assert why in answer["text"], answer


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_root_that_may_not_be_searched_is_said_at_once(
    start: Start, tmp_path: Path, directory: Path, root: Path, on_disk: bool
) -> None:
    """A plain user's: root may search what it likes."""
    root.chmod(0o700)
    asked: dict[str, Any] = {"lower": [str(root)]}
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 12345, 12345)
        if on_disk:
            asked[name] = str(tmp_path / name)
    os.chown(directory, 12345, 12345)
    users = {"uids": [[12345, 12345, 1]], "gids": [[12345, 12345, 1]]}
    spec = {"sandbox": str(directory), "root": asked, "users": users}
    answer = start(["/bin/sh", "-c", ":"], namespaces=[*ALL, "user"], caller=12345, spec=spec)
    assert (answer["step"], answer["left"]) == ("make root", [])
    assert "Permission denied" in answer["text"], answer
    assert str(root) in answer["text"], answer
