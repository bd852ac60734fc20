"""Numbers in words, for people. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

_NONE = "–"


def size(count: float | None) -> str:
    """Bytes: 512 B, 1.5 MiB, 256 MiB."""
    if count is None:
        return _NONE
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.1f} {unit}" if count < 10 and count != int(count) else f"{count:.0f} {unit}"


def cores(count: float | None) -> str:
    """Processors busy: 0.25."""
    return _NONE if count is None else f"{count:.2f}"


def span(seconds: float | None) -> str:
    """A length of time by its two largest units: 0.42 s, 12 s, 3 min 5 s, 2 h 7 min, 4 d 3 h."""
    if seconds is None:
        return _NONE
    if seconds < 10:
        return f"{max(0.0, seconds):.2f} s"
    whole = int(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def moment(at: float | None) -> str:
    """A point in time: 2026-11-22 09:30:00 UTC."""
    return _NONE if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
