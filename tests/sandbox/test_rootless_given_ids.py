"""A plain user's user namespace with the ids that /etc/subuid and /etc/subgid give away."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from starting import Start

UID = 65534  # newuidmap wants somebody of /etc/passwd


#: What the host gives them, for the time of a test: rows of ids, and a line of /etc/subuid and /etc/subgid.
GIVEN = [[0, UID, 1], [1, 700_000, 5000]]
LINE = f"{UID}:700000:5000\n"

WITH_FILES = 'for f in subuid subgid; do touch /etc/$f && mount --bind "$0" /etc/$f || exit 1; done; exec "$@"'


@pytest.mark.root
@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (Debian: uidmap)")
def test_ids_that_were_given_to_it_are_its_own(start: Start, directory: Path, tmp_path: Path) -> None:
    (tmp_path / "line").write_text(LINE)
    os.chown(directory, UID, UID)
    directory.chmod(0o777)
    spec = {"sandbox": str(directory), "users": {"uids": GIVEN, "gids": GIVEN}, "dev": True, "read_only": True}
    script = "id -u; id -G; wc -l < /proc/self/uid_map; touch mine /tmp/x"
    answer = start(
        ["/bin/sh", "-c", script],
        through=["unshare", "--mount", "sh", "-c", WITH_FILES, str(tmp_path / "line")],
        namespaces=["user", "pid", "mount", "net"],
        caller=UID,
        credentials=[7, 8, [9]],
        spec=spec,
    )
    assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
    assert answer["out"].splitlines() == ["7", "8 9", "2"]
    assert (directory / "mine").stat().st_uid == 700_000 + 6


@pytest.mark.root
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
