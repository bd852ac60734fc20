"""Inside the throw-away machine: tells stories, a line of JSON for each as soon as it is over; see in_the_vm.py."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

#: Seconds for one story: ten times what the longest takes.
DEADLINE = 150

#: Seconds to break it off.
_PATIENCE = 30

Facts = dict[str, Any]


def tell_all(stories: Mapping[str, Callable[[], Facts]]) -> None:
    """Name -> facts. Those of a story that broke off, or did not end, say why, and who was there then."""
    for name, story in stories.items():
        signal.signal(signal.SIGALRM, partial(_too_long, name))
        signal.alarm(DEADLINE)
        try:
            facts = story()
        except BaseException:
            facts = {"error": f"{traceback.format_exc()}\n{who_is_there()}"}
        finally:
            signal.alarm(0)
        _tell(name, facts)


def _tell(name: str, facts: Facts) -> None:
    print(json.dumps({"story": name, "facts": facts}), flush=True)


def _too_long(name: str, number: int, frame: object) -> None:
    signal.signal(signal.SIGALRM, partial(_does_not_even_break_off, name))
    signal.alarm(_PATIENCE)
    raise TimeoutError(f"the story did not end within {DEADLINE} seconds; there were\n{who_is_there()}")


def _does_not_even_break_off(name: str, number: int, frame: FrameType | None) -> None:
    """A `with` may wait for ever for a child to end. No other story is told then."""
    stack = "".join(traceback.format_stack(frame))
    _tell(name, {"error": f"the story did not end, and could not be broken off, in\n{stack}\n{who_is_there()}"})
    os._exit(0)


def who_is_there() -> str:
    """Every process that executes something: pid, parent, state, what it waits for, its system call, command line."""
    lines: list[str] = []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if command or state == "Z":
                calls = [(process / name).read_text().strip() for name in ("wchan", "syscall")]
                lines.append(" ".join([process.name, parent, state, *calls, command]))
        except OSError:
            continue  # gone meanwhile
    return "\n".join(lines)
