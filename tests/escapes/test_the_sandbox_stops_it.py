"""In the sandbox that a task has where its file says nothing about it, no hostile program does harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from escapes import Escape, attempt
from table_of_escapes import ROWS


@pytest.mark.root
@pytest.mark.parametrize(("which", "user"), ROWS, ids=[f"{row.name}-{user}" for row, user in ROWS])
def test_it_does_no_harm_in_the_default_sandbox(which: Escape, user: str, tmp_path: Path) -> None:
    harmed, said = attempt(which, user, True, tmp_path)
    print(said)
    assert not harmed, f"{which.stopped_by} should have stopped it: {said}"
