"""What `thermos inspect` says of a sandbox: also what is allowed by saying nothing, and forbidden by an empty list."""

from __future__ import annotations

import json
from pathlib import Path

from task_directories import Cli

JAIL = """\
name: jail
resources: {egress: 1500kbit, ingress: 2000000}
sandbox:
  network: private
  volumes: [{host_path: /usr, container_path: /mnt, mode: RO}, {host_path: /usr, container_path: /srv}]
  landlock: {bind: [], read: []}
processes:
  - {name: a, cmdline: "true", capabilities: [], rlimits: {core: unlimited, nofile: "5:6"}}
  - {name: b, cmdline: "true", after: [a], env: {}}
"""


def page(cli: Cli, tmp_path: Path, *words: str) -> tuple[str, dict[str, str]]:
    """The file's path, and each row's value and origin by its name, those of `a` where `b` has them too."""
    path = tmp_path / "jail.yaml"
    path.write_text(JAIL)
    status, out, err = cli.run("inspect", str(path), *words)
    assert (status, err) == (0, "")
    rows: dict[str, str] = {}
    for line in out.splitlines():
        if line.startswith("  "):
            name, _, rest = line.strip().partition("  ")
            rows.setdefault(name, " ".join(rest.split()))
    return str(path), rows


def test_an_empty_list_that_forbids_everything_is_shown(cli: Cli, tmp_path: Path) -> None:
    path, rows = page(cli, tmp_path)
    assert rows["capabilities"] == f"none {path}:8:46"
    assert rows["sandbox.landlock.bind"] == f"none {path}:6:20"
    assert rows["sandbox.landlock.read"] == f"none {path}:6:30"
    assert "env" not in rows
    assert "sandbox.landlock.write" not in rows


def test_limits_and_rates_are_shown_as_they_may_be_written(cli: Cli, tmp_path: Path) -> None:
    path, rows = page(cli, tmp_path)
    assert rows["resources.egress"] == f"1500kbit {path}:2:21"
    assert rows["resources.ingress"] == f"2Mbit {path}:2:40"
    assert rows["rlimits.core"] == f"unlimited:unlimited {path}:8:66"
    assert rows["rlimits.nofile"] == f"5:6 {path}:8:85"


def test_a_volume_is_read_only_where_its_mode_says_so(cli: Cli, tmp_path: Path) -> None:
    path, rows = page(cli, tmp_path, "--all")
    assert rows["sandbox.volumes[0].read_only"] == f"true {path}:5:59"
    assert rows["sandbox.volumes[1].read_only"] == "true default of Thermos"
    _, out, _ = cli.run("inspect", path, "--json")
    assert json.loads(out)["origins"]["sandbox.volumes[0].read_only"]["line"] == 5


def test_defaults_of_a_sandbox_are_what_a_task_gets_and_not_none(cli: Cli, tmp_path: Path) -> None:
    _, rows = page(cli, tmp_path, "--all")
    said = {name.removeprefix("sandbox."): text for name, text in rows.items() if name.startswith("sandbox.")}
    assert said["rootfs"] == "the host's files default of Thermos"
    assert said["read_only"] == "true; false with a rootfs default of Thermos"
    assert said["namespaces"] == "pid, mount, ipc, uts, cgroup default of Thermos"
    assert said["seccomp"] == "default default of Thermos"
    assert said["masks"] == "true default of Thermos"
    assert said["landlock.connect"] == "all default of Thermos"
    assert rows["nice"] == "as it is default of Thermos"
