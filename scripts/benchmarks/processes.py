"""What /proc says of processes: relatives, memory, context switches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .commands import until


def children(pid: int) -> set[int]:
    """Of every thread of a process."""
    lists = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return {int(child) for text in lists for child in text.split()}


def command_line(pid: int) -> str:
    """Its words, with spaces between them; empty where there is no such process any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def with_word(word: str) -> set[int]:
    """Every process of the host that has this word in its command line."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid for pid in pids if word in command_line(pid).split()}


def proportional_size(pids: Iterable[int]) -> int:
    """PSS in bytes: a page that several processes map counts for each in equal parts."""
    return sum(_field(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in pids) * 1024


def anonymous(pids: Iterable[int]) -> int:
    """Bytes of memory that stand for no file: what was allocated. Who else maps the program does not show here."""
    return sum(_field(Path(f"/proc/{pid}/smaps_rollup"), "Anonymous:") for pid in pids) * 1024


def switches(pids: Iterable[int]) -> int:
    """How often threads of these processes have left a processor so far: each wake-up ends in one."""
    return sum(
        _field(path, "voluntary_ctxt_switches:") + _field(path, "nonvoluntary_ctxt_switches:")
        for pid in pids
        for path in Path(f"/proc/{pid}/task").glob("*/status")
    )


def settle(pids: Callable[[], Iterable[int]]) -> None:
    """Wait until these processes have done nothing for a second. Raises CannotMeasure."""
    seen = (0, 0.0)

    def quiet() -> bool:
        nonlocal seen
        count, now = switches(pids()), time.monotonic()
        if count != seen[0]:
            seen = (count, now)
        return now - seen[1] > 1

    until(f"processes {sorted(pids())} have nothing to do", quiet)


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(f"no {name} in {path}")
