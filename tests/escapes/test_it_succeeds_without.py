"""Without a sandbox each hostile program does its harm: what stops it afterwards is the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from escapes import Escape, attempt
from table_of_escapes import ROWS, programs


@pytest.mark.root
@pytest.mark.parametrize(("which", "user"), ROWS, ids=[f"{row.name}-{user}" for row, user in ROWS])
def test_it_does_harm_as_a_plain_process(which: Escape, user: str, tmp_path: Path) -> None:
    harmed, said = attempt(which, user, False, tmp_path)
    print(said)
    assert harmed, said


def test_every_program_has_a_row_and_every_row_a_program() -> None:
    assert programs() == sorted({row.name for row, _ in ROWS})
