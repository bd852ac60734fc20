"""Rewrites the diagrams in README.md, or says that they are not those of the core."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .drawing import drawn

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- diagrams: scripts/diagrams writes what follows -->\n"
END = "<!-- end of diagrams -->\n"


def main() -> int:
    """0; 1 where the README has no place for them, and with --check where they are not up to date."""
    parser = argparse.ArgumentParser(prog="scripts/diagrams", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 where something would change")
    given = parser.parse_args()
    text = README.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        place = f"the one place between {BEGIN.strip()} and {END.strip()}"
        print(f"diagrams: cannot draw into {README}: {place} is not there", file=sys.stderr)
        return 1
    before, _, rest = text.partition(BEGIN)
    wanted = f"{before}{BEGIN}\n{drawn()}\n{END}{rest.partition(END)[2]}"
    if text == wanted:
        return 0
    if given.check:
        print(f"diagrams: {README} does not show what thermos/core does: run scripts/diagrams", file=sys.stderr)
        return 1
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
