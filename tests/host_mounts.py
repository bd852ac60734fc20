"""What is mounted on this host, as far as a test may ask: others mount and unmount at the same time."""

from __future__ import annotations

from pathlib import Path

#: Where tests and benchmarks mount what is their own.
_PLACES = ("/tmp/", "/var/tmp/", "/srv/test-")


def mounts(own: Path) -> list[str]:
    """Each mount, but for those in the places of other tests. `own` is the asker's place."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    points = [(line.split()[1], line) for line in lines]
    return sorted(line for at, line in points if not at.startswith(_PLACES) or f"{at}/".startswith(f"{own}/"))
