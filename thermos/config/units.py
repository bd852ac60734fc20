"""Numbers with a unit, as people write them: `1h30m`, `256MiB`, `500m` of a processor.

The patterns are what a text has to match; the JSON Schema shows the same ones to editors.
"""

from __future__ import annotations

import re

DURATIONS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
SIZES = {
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "B": 1,
}
_NUMBER = r"(?:[0-9]{1,20}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})"
DURATION = (
    rf"{_NUMBER}|(?=[0-9.])(?!.* $)"
    rf"(?:{_NUMBER} ?d ?)?(?:{_NUMBER} ?h ?)?(?:{_NUMBER} ?m(?!s) ?)?(?:{_NUMBER} ?s ?)?(?:{_NUMBER} ?ms)?"
)
SIZE = rf"[0-9]{{1,20}} ?B?|{_NUMBER} ?(?:{'|'.join(unit for unit in SIZES if unit != 'B')})"
CORES = r"[0-9]{1,10}m"

# What people write instead. Which of two a plain `M` means differs from tool to tool.
_DURATION_WORDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), "ms"),
}
_SIZE_WORDS = {
    **{f"{letter}{rest}": (f"{unit}iB", f"{small}B") for letter, unit, small in _LETTERS for rest in ("", "b")}
    for _LETTERS in ((("k", "K", "k"), ("m", "M", "M"), ("g", "G", "G"), ("t", "T", "T")),)
} if False else {}


def duration(text: str) -> float | None:
    """Seconds; None for what is no duration."""
    if not re.fullmatch(DURATION, text):
        return None
    parts = re.findall(rf"({_NUMBER}) ?(ms|[dhms])", text)
    return sum(float(number) * DURATIONS[unit] for number, unit in parts) if parts else float(text)
