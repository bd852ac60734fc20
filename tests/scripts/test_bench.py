"""That every row of scripts/bench can be measured here. What the figures are is no matter of a test."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent.parent / "scripts" / "bench"
DEADLINE = 300  # seconds; far more than one measurement takes, also on a busy machine

#: Rows beside programs that are large and that nobody else here needs: measured where they are.
WITH_GUESTS = ("sandbox-podman", "sandbox-docker")

#: Rows whose figures are differences of two durations: on a busy machine one may come out below nothing.
DIFFERENCES = ("validate-yaml", "validate-json", "chain-step", "chain-memory", "sandbox-process")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BENCH, *words], capture_output=True, text=True, timeout=DEADLINE, check=False)


def rows() -> list[str]:
    """Their names, from the line of --help that lists them."""
    usage = bench("--help").stdout
    return usage.partition("--only {")[2].partition("}")[0].split(",")


def leftovers() -> set[Path]:
    # os.walk, not glob: other tests' groups come and go under it.
    groups = {
        Path(parent, name)
        for tree in Path("/sys/fs/cgroup").iterdir()
        for parent, names, _ in os.walk(tree)
        for name in names
        if name.startswith("bench")
    }
    return groups | set(Path("/var/tmp").glob("thermos-bench-*"))


@pytest.mark.root
@pytest.mark.parametrize("name", rows())
def test_a_row_is_measured_and_leaves_nothing_behind(name: str) -> None:
    before = leftovers()
    done = bench("--only", name, "--repeat", "1", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    measured: list[dict[str, Any]] = json.loads(done.stdout)
    (row,) = measured
    assert row["name"] == name
    assert leftovers() <= before
    if name in WITH_GUESTS and row["skipped"]:
        assert name.partition("-")[2] in row["skipped"]
        assert row["all_ours"] == []
        return
    if row["skipped"]:
        pytest.skip(row["skipped"])
    assert len(row["all_ours"]) == 1
    if row["peer_name"] is None:
        assert row["all_peer"] == []
        assert row["ratio"] is None
        return
    assert len(row["all_peer"]) == 1
    if row["unit"]:
        assert row["all_peer"][0] > 0 or (name in DIFFERENCES and row["all_peer"][0] < 0)


@pytest.mark.root
def test_a_missing_peer_is_named_with_its_package_and_its_row_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bash", "env", "dirname", "readlink"):
        (tmp_path / name).symlink_to(Path("/usr/bin", name))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = bench("--only", "chain-step")
    assert done.returncode == 0, done.stderr
    assert "skipped: ninja is not there; Debian's package: ninja-build" in done.stdout
