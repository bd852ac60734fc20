"""Measure what the table says, ours and the peer's in turns, and print medians side by side."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from . import ROWS
from .kind import CannotMeasure, NotThere, Place, Row, Sample

#: Seconds between two rows: so long ext4 remembers the inodes of files that were removed, and is slowed down by it.
FORGOTTEN = 6

#: How often a figure is taken, for its median.
OFTEN = 11


@dataclass(frozen=True)
class Measured:
    """`skipped`: why there are no figures. Those of each repetition are in the order they were taken."""

    row: Row
    ours: list[float] = field(default_factory=list[float])
    peers: list[float] = field(default_factory=list[float])
    skipped: str | None = None

    @property
    def ratio(self) -> float | None:
        peer = statistics.median(self.peers or [0])
        return statistics.median(self.ours) / peer if peer else None

    @property
    def verdict(self) -> str:
        row = self.row
        if self.skipped is not None:
            return "skipped"
        if row.most_ratio is not None:
            return "over" if self.ratio is None or self.ratio > row.most_ratio else "ok"
        if row.most is not None:
            return "over" if statistics.median(self.ours) > row.most else "ok"
        return ""


def measure(row: Row, repeat: int, watch_secs: float, share: float) -> Measured:
    """Raises CannotMeasure."""
    sides = [side for side in (row.ours, row.peer) if side is not None]
    for side in sides:
        if shutil.which(side.program) is None:
            return Measured(row, skipped=f"{side.program} is not there; Debian's package: {side.package}")
    # Not in /tmp, which may be memory: a task's directory is on a disk, and is synced.
    with tempfile.TemporaryDirectory(prefix="thermos-bench-", dir="/var/tmp") as directory:
        measured = Measured(row)
        with ExitStack() as until_the_end:
            samples: list[tuple[list[float], Sample]] = []
            for side, figures in zip(sides, (measured.ours, measured.peers), strict=False):
                place = Place(Path(directory, f"side-{len(samples)}"), watch_secs, share)
                place.directory.mkdir()
                samples.append((figures, until_the_end.enter_context(side.ready(place))))
            for _ in range(repeat):
                for figures, sample in samples:
                    figures.append(sample())
        return measured


def lines(measured: Measured) -> tuple[str, ...]:
    row = measured.row
    heads = (row.name, row.what, row.peer.name if row.peer else "")
    if measured.skipped is not None:
        return (*heads, "", "", "", "", f"skipped: {measured.skipped}")
    wanted = f"<= {row.most_ratio:g}" if row.most_ratio is not None else ""
    if row.most is not None:
        wanted = f"{row.most:g}" if row.most == 0 else f"<= {row.most:g} {row.unit}"
    ours, peer = (
        f"{statistics.median(figures):.4g} {row.unit}".rstrip() if figures else ""
        for figures in (measured.ours, measured.peers)
    )
    ratio = "" if measured.ratio is None else f"{measured.ratio:.2f}"
    return (*heads, ours, peer, ratio, wanted, measured.verdict)


def print_table(results: Sequence[Measured]) -> None:
    heads = ("NAME", "WHAT", "PEER", "OURS", "PEER'S", "RATIO", "WANTED", "")
    table = [heads, *map(lines, results)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads) - 1)]
    for row in table:
        cells = [
            cell.rjust(width) if 3 <= column <= 5 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        print("  ".join([*cells, row[-1]]).rstrip())


def as_json(measured: Measured) -> dict[str, object]:
    row = measured.row
    return {
        "name": row.name,
        "what": row.what,
        "unit": row.unit,
        "peer_name": row.peer.name if row.peer else None,
        "ours": statistics.median(measured.ours) if measured.ours else None,
        "peer": statistics.median(measured.peers) if measured.peers else None,
        "ratio": measured.ratio if measured.skipped is None else None,
        "wanted_ratio": row.most_ratio,
        "wanted": row.most,
        "verdict": measured.verdict,
        "skipped": measured.skipped,
        "all_ours": measured.ours,
        "all_peer": measured.peers,
    }


def host() -> str:
    load = ", ".join(f"{figure:.2f}" for figure in os.getloadavg())
    return f"Linux {os.uname().release}, {os.cpu_count()} processors, load {load}"


def main() -> int:
    """0; 1 where something could not be measured, and with --strict where a figure is over what is wanted."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=[row.name for row in ROWS], help="this row; again for more")
    parser.add_argument("--repeat", type=int, metavar="N", help="take each figure N times (default: 11, or less)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="3 times at most, and less of what takes long")
    size.add_argument("--full", action="store_true", help="all 100,000 restarts and 10,000 processes: half an hour")
    parser.add_argument("--json", action="store_true", help="one list of objects on standard output")
    parser.add_argument("--strict", action="store_true", help="exit status 1 where a figure is over what is wanted")
    given = parser.parse_args()
    if os.geteuid():
        print("bench: cannot measure a full sandbox: that takes root", file=sys.stderr)
        return 1
    share = 1.0 if given.full else 0.01 if given.quick else 0.05
    print(host(), file=sys.stderr)
    results: list[Measured] = []
    failed = False
    for row in ROWS:
        if given.only and row.name not in given.only:
            continue
        repeat = given.repeat or min(row.repeat or OFTEN, 3 if given.quick else OFTEN)
        print(f"{row.name}: {repeat} times ...", file=sys.stderr)
        try:
            if results and not given.quick:
                time.sleep(FORGOTTEN)
            results.append(measure(row, repeat, 5 if given.quick else 20, share))
        except NotThere as error:
            results.append(Measured(row, skipped=str(error)))
        except CannotMeasure as error:
            print(f"{row.name}: {error}", file=sys.stderr)
            failed = True
    if given.json:
        print(json.dumps([as_json(measured) for measured in results], indent=1))
    else:
        print_table(results)
    print(host(), file=sys.stderr)
    over = any(measured.verdict == "over" for measured in results)
    return 1 if failed or (given.strict and over) else 0


if __name__ == "__main__":
    sys.exit(main())
