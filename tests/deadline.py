"""The one way tests wait: for something to be so, and not longer than a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds: far more than anything here takes, also on a busy machine.
DEADLINE = 60.0


def until(condition: Callable[[], T], what: str = "it never came to be") -> T:
    """The first true answer of `condition`."""
    last = time.monotonic() + DEADLINE
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < last, f"after {DEADLINE:g} seconds: {what}"
        time.sleep(0.003)
