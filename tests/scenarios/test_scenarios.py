"""Every scenario beside this file tells what it told when it was last looked at.

`REWRITE=1 pytest tests/scenarios` writes the stories anew: then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from transcript import parse, tell

LINE = "----\n"
FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_story_is_told_as_before(path: Path) -> None:
    given, _, told = path.read_text().partition(LINE)
    now = tell(parse(given))
    if os.environ.get("REWRITE"):
        path.write_text(given + LINE + now)
    else:
        assert told == now


def test_there_are_stories() -> None:
    assert len(FILES) > 20
