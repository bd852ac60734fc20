"""Inside the throw-away machine: tells stories, a line of JSON for each as soon as it is over; see in_the_vm.py."""

from __future__ import annotations

import json
import signal
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: Seconds for one story: ten times what the longest takes.
DEADLINE = 150

Facts = dict[str, Any]


def tell_all(stories: Mapping[str, Callable[[], Facts]]) -> None:
    """Name -> facts. Those of a story that broke off, or did not end, say why, and who was there then."""
    signal.signal(signal.SIGALRM, _too_long)
    for name, story in stories.items():
        signal.alarm(DEADLINE)
        try:
            facts = story()
        except BaseException:
            facts = {"error": f"{traceback.format_exc()}\n{who_is_there()}"}
        finally:
            signal.alarm(0)
        print(json.dumps({"story": name, "facts": facts}), flush=True)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"the story did not end within {DEADLINE} seconds")


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
