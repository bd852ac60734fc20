"""A plain user's user namespace with the ids that /etc/subuid and /etc/subgid give away."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from starting import Start

UID = 12345


def given(path: str) -> list[list[int]]:
    """Rows of ids: its own, and those that the file gives it."""
    if not os.path.exists(path):
        return []
    lines = [line.split(":") for line in Path(path).read_text().splitlines()]
    return [[0, UID, 1], *([1, int(first), int(count)] for who, first, count in lines if who == str(UID))]


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to become somebody else")
@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (Debian: uidmap)")
@pytest.mark.skipif(len(given("/etc/subuid")) < 2, reason=f"needs a line for {UID} in /etc/subuid and /etc/subgid")
def test_ids_that_were_given_to_it_are_its_own(start: Start, directory: Path) -> None:
    os.chown(directory, UID, UID)
    directory.chmod(0o777)
    spec = {
        "sandbox": str(directory),
        "users": {"uids": given("/etc/subuid"), "gids": given("/etc/subgid")},
        "dev": True,
        "read_only": True,
    }
    script = "id -u; id -G; wc -l < /proc/self/uid_map; touch mine /tmp/x"
    answer = start(
        ["/bin/sh", "-c", script],
        namespaces=["user", "pid", "mount", "net"],
        caller=UID,
        credentials=[7, 8, [9]],
        spec=spec,
    )
    assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
    assert answer["out"].splitlines() == ["7", "8 9", "2"]
    (rows,) = [row for row in given("/etc/subuid") if row[0] == 1]
    assert (directory / "mine").stat().st_uid == rows[1] + 6


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to become somebody else")
@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (Debian: uidmap)")
def test_ids_that_were_not_given_to_it_are_refused(start: Start, directory: Path) -> None:
    os.chown(directory, UID, UID)
    ids = [[0, 3_000_000_000, 10]]
    answer = start(
        ["/bin/true"],
        namespaces=["user", "pid", "mount"],
        caller=UID,
        spec={"sandbox": str(directory), "users": {"uids": ids, "gids": ids}},
    )
    assert (answer["step"], answer["left"]) == ("make user", [])
    assert answer["text"].startswith("newuidmap refused (status 1): see /etc/subuid and /etc/subgid")
