"""From a task file's words to the setting of its sandbox: what is mentioned is required, the rest is a default."""

from __future__ import annotations

import marshal
from pathlib import Path
from typing import Any

import pytest

from sandbox.plan import from_words, parts
from thermos.runtime import accept, sandboxing

pytestmark = pytest.mark.root


def made(tmp_path: Path, mode: str = "best-effort", processes: Any = None, **asked: Any) -> sandboxing.Setting:
    sandbox = tmp_path / "root/tasks/t/sandbox"
    sandbox.mkdir(parents=True, exist_ok=True)
    task = {"processes": processes or [{"name": "p"}], "resources": {}, "sandbox": asked}
    me = accept.user(None)
    return sandboxing.setting(
        task,
        root=str(tmp_path / "root"),
        task_id="t",
        holder="t.1",
        sandbox=str(sandbox),
        place=str(tmp_path),
        mode=mode,
        user=me,
        users={},
        ports={"http": 31000},
    )


def test_what_is_not_mentioned_is_made_and_not_required(tmp_path: Path) -> None:
    setting = made(tmp_path, "strict")
    plan = from_words(setting.words["plan"])
    assert {"pid", "mount", "ipc", "uts", "cgroup", "read-only root", "/tmp", "/dev", "masks"} <= set(parts(plan))
    assert not {"net", "user", "time"} & set(parts(plan))
    assert plan.required == frozenset()
    assert setting.parts == {}


def test_what_is_mentioned_is_required_under_strict_alone(tmp_path: Path) -> None:
    asked = {"hostname": "box", "tmp": 1 << 20}
    assert {"hostname", "uts", "/tmp", "/var/tmp", "mount"} <= from_words(
        made(tmp_path, "strict", **asked).words["plan"]
    ).required
    assert from_words(made(tmp_path, **asked).words["plan"]).required == frozenset()
    assert made(tmp_path, **asked).parts["hostname"] == "box"


def test_a_namespace_that_the_file_does_not_want_is_not_there(tmp_path: Path) -> None:
    assert "ipc" not in parts(from_words(made(tmp_path, namespaces={"ipc": False}).words["plan"]))


def test_a_network_of_its_own_publishes_the_ports_for_both_protocols(tmp_path: Path) -> None:
    network = made(tmp_path, network="private").words["network"]
    assert network["holder"] == "t.1"
    assert [(each["protocol"], each["host"]) for each in network["publish"]] == [("tcp", 31000), ("udp", 31000)]
    assert made(tmp_path, network="none").words["network"] is None


def test_a_process_that_says_something_of_its_privileges_has_steps_of_its_own(tmp_path: Path) -> None:
    setting = made(tmp_path, processes=[{"name": "p"}, {"name": "q", "nice": 7}])
    assert list(setting.words["own"]) == [1]
    assert [row["got"] for row in setting.rows if row["what"] == "nice of q"] == ["7"]


def test_what_cannot_be_had_is_refused_with_its_field(tmp_path: Path) -> None:
    volume = {"host_path": "/nowhere", "container_path": "/mnt", "read_only": True}
    with pytest.raises(accept.CannotAccept, match=r"^cannot enforce sandbox\.volumes \(/mnt\): .*/nowhere") as caught:
        made(tmp_path, "strict", volumes=[volume])
    assert caught.value.status == 69
    assert [field for field, _ in caught.value.reasons] == ["sandbox.volumes (/mnt)"]


def test_a_volume_in_a_sandbox_that_is_still_empty_is_refused(tmp_path: Path) -> None:
    target = str(tmp_path / "root/tasks/t/sandbox/in")
    volume = {"host_path": "/srv", "container_path": target, "read_only": True}
    with pytest.raises(accept.CannotAccept, match="it lies in the sandbox directory, and is not there"):
        made(tmp_path, "strict", volumes=[volume])
    (tmp_path / "root/tasks/t/sandbox/in").mkdir()
    assert f"volume {target}" in made(tmp_path, "strict", volumes=[volume]).parts


@pytest.mark.parametrize(
    ("part", "asked", "field"),
    [
        ("pid", {"hidepid": True}, "sandbox.hidepid"),
        ("pid", {"hidepid": True, "namespaces": {"pid": True}}, "sandbox.namespaces.pid"),
        ("mount", {"tmp": 1}, "sandbox.tmp"),
        ("mount", {"namespaces": {"mount": True}}, "sandbox.namespaces.mount"),
    ],
)
def test_a_namespace_is_asked_for_by_what_needs_it(part: str, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(accept.CannotAccept) as caught:
        sandboxing._refuse([(part, "no")], asked)
    assert [each for each, _ in caught.value.reasons] == [field]


def test_ids_are_not_mapped_without_a_user_namespace_to_map_them_to(tmp_path: Path) -> None:
    volume = {"host_path": str(tmp_path), "container_path": "/mnt", "read_only": True, "id_mapped": True}
    with pytest.raises(accept.CannotAccept, match=r"^cannot enforce sandbox\.volumes \(/mnt\): .*user namespace"):
        made(tmp_path, "strict", volumes=[volume])
    (row,) = [row for row in made(tmp_path, volumes=[volume]).rows if row["what"] == "ids of volume /mnt"]
    assert row["got"] is None
    mapped = made(tmp_path, volumes=[volume], namespaces={"user": True})
    assert "ids of volume /mnt" in mapped.parts
    assert "ids of volume /mnt" not in [row["what"] for row in mapped.rows]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("volume /mnt", "sandbox.volumes (/mnt)"),
        ("ids of volume /mnt", "sandbox.volumes (/mnt)"),
        ("device /dev/fuse", "sandbox.devices (/dev/fuse)"),
        ("network", "sandbox.network"),
        ("/dev/shm", "sandbox.shm"),
        ("ids of sandbox", "sandbox.namespaces.user"),
        ("rlimit nofile of web", "rlimits of web"),
        ("pid", "sandbox.namespaces.pid"),
    ],
)
def test_a_part_is_asked_for_in_a_field(part: str, field: str) -> None:
    assert sandboxing.field_of(part) == field


def test_the_setting_is_values_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    words = made(tmp_path, hostname="x" * 60, devices=("/dev/null",)).words
    sandboxing.write(str(tmp_path), words)
    file = tmp_path / "setting"
    assert file.stat().st_mode & 0o777 == 0o600
    assert marshal.loads(file.read_bytes()) == words
    with pytest.raises(FileExistsError):
        sandboxing.write(str(tmp_path), words)
