"""Numbers with a unit, as people write them: `1h30m`, `256MiB`, `500m` of a processor.

The patterns say which texts are one; editors are shown the same ones by the JSON Schema.
"""

from __future__ import annotations

from . import patterns

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
RATES = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}  # as tc(8) has them
SLOWEST = 8000  # bits a second: what is less than a packet in some seconds is no limit but a cut
_NUMBER = r"(?:[0-9]{1,20}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})"
#: The largest unit first, each at most once, as in `1d12h` or `2 m 30 s`; or a number alone.
DURATION = (
    rf"{_NUMBER}|(?=[0-9.])(?!.* $)"
    rf"(?:{_NUMBER} ?d ?)?(?:{_NUMBER} ?h ?)?(?:{_NUMBER} ?m(?!s) ?)?(?:{_NUMBER} ?s ?)?(?:{_NUMBER} ?ms)?"
)
SIZE = rf"[0-9]{{1,20}}(?: ?B)?|{_NUMBER} ?(?:[KMGT]iB|[kMGT]B)"
RATE = rf"[0-9]{{1,20}}|{_NUMBER} ?(?:[kMG]?bit)"
CORES = r"[0-9]{1,10}m"

_DURATION_WORDS = {
    **dict.fromkeys(("D", "day", "days"), "d"),
    **dict.fromkeys(("H", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("M", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("S", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("MS", "msec", "msecs", "millisecond", "milliseconds", "milli", "millis"), "ms"),
}


def duration(text: str) -> float | None:
    """Seconds; None for what is no duration."""
    digits = text.rstrip("dhms")
    if digits.isascii() and digits.isdigit() and len(digits) <= 20 and text[len(digits) :] in DURATIONS:
        return int(digits) * DURATIONS[text[len(digits) :]]
    if not patterns.fullmatch(DURATION, text):
        return None
    parts = patterns.findall(rf"({_NUMBER}) ?(ms|[dhms])", text)
    return sum(float(number) * DURATIONS[unit] for number, unit in parts) if parts else float(text)


def size(text: str) -> float | None:
    """Bytes; None for what is no size."""
    digits = text.rstrip("kKMGTiB")
    unit = text[len(digits) :] or "B"
    digits = digits.removesuffix(" ")
    plain = digits.isascii() and digits.isdigit() and len(digits) <= 20
    if unit not in SIZES or not (plain or patterns.fullmatch(SIZE, text)):
        return None
    return (float(digits) if "." in digits else int(digits)) * SIZES[unit]


def rate(text: str) -> float | None:
    """Bits a second; None for what is no rate."""
    if not patterns.fullmatch(RATE, text):
        return None
    digits = text.rstrip("kMGbit")
    return float(digits) * RATES[text[len(digits) :] or "bit"]


def meant_duration(text: str) -> str:
    """`, did you mean '30s'?` for `30 sec`, or nothing."""
    meant = patterns.sub(
        r" *(?:and|,)? *([0-9.]+) *([A-Za-z]+)",
        lambda part: part[1] + _DURATION_WORDS.get(part[2], _DURATION_WORDS.get(part[2].lower(), part[2])),
        text[:60].strip(),
    )
    return f", did you mean {meant!r}?" if meant != text and duration(meant) is not None else ""


def meant_size(text: str) -> str:
    """`, did you mean '256MiB' or '256MB'?` for `256mb`, or nothing.

    Tools differ in what they mean by `M`, so both are shown; only `Mi` leaves no doubt.
    """
    found = patterns.fullmatch(rf"(?i: *({_NUMBER}) *([kmgt])(i?)b? *)", text)
    if found is not None:
        number, letter, binary = found.groups()
        decimal = "k" if letter in "kK" else letter.upper()
        other = "" if binary else f" or {f'{number}{decimal}B'!r}"
        return f", did you mean {f'{number}{letter.upper()}iB'!r}{other}?"
    found = patterns.fullmatch(rf"(?i: *({_NUMBER}) *(?:b|bytes?) *)", text)
    return f", did you mean {f'{found[1]}B'!r}?" if found is not None and "." not in found[1] else ""
