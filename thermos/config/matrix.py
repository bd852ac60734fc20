"""A matrix: one process written once, run in many copies.

    {shard: 3, zone: [a, b], exclude: [{shard: 0, zone: b}]}

Each name is an axis; a whole number N stands for 0 to N-1. There is a copy for each combination, the last axis
changing fastest, less those that an entry of `exclude` fits. In the copy's texts `{{matrix.AXIS}}` is its value.
"""

from __future__ import annotations

from itertools import product

from . import patterns
from .reading import UNKNOWN, did_you_mean
from .scalars import scalar
from .wording import shortened, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .reading import Reading
    from .wording import Path, Value

    Combination = Mapping[str, str]  # axis -> its value in one copy

MOST_COPIES = 10_000
AXIS = r"[A-Za-z_][A-Za-z0-9_]*"
TEMPLATE = r"\{\{matrix\.([A-Za-z_][A-Za-z0-9_]*)\}\}"
_EXPECTED = "a list of texts or whole numbers, or a whole number (8 stands for 0 to 7)"


def combinations(value: Value, path: Path, reading: Reading) -> Any:
    """The combinations of a matrix, in their order; UNKNOWN where it is wrong."""
    if not isinstance(value, dict):
        example = "expected a mapping of names to their values, such as {shard: 8, zone: [a, b]}"
        reading.refuse(path, f"{example}, got {shown(value)}")
        return UNKNOWN
    axes: dict[str, Any] = {}
    for name, values in value.items():
        if name != "exclude":
            if not patterns.fullmatch(AXIS, name):
                why = f"the name of an axis is a word of letters, digits and '_', got {shortened(name)!r}"
                reading.refuse((*path, name), why, at_key=True)
            axes[name] = _axis(values, (*path, name), reading)
    if not axes:
        reading.refuse(path, "it names no values; write for example {shard: 8}")
    excluded = _excluded(value.get("exclude"), (*path, "exclude"), reading)
    if not axes or excluded is UNKNOWN or any(values is UNKNOWN for values in axes.values()):
        return UNKNOWN
    return _combinations(axes, excluded, path, reading)


def _axis(values: Value, path: Path, reading: Reading) -> Any:
    if isinstance(values, str) and "{{" in values:
        filled = reading.fill(values, path)
        if filled is None:
            return UNKNOWN
        values = scalar(filled)
    if isinstance(values, float) and values.is_integer():
        values = int(values)
    if isinstance(values, int) and not isinstance(values, bool):
        if 1 <= values <= MOST_COPIES:
            return list(map(str, range(values)))
        reading.refuse(path, f"expected 1 to {MOST_COPIES}, got {shown(values)}")
        return UNKNOWN
    if not isinstance(values, list) or not values:
        got = "an empty list" if values == [] else shown(values)
        reading.refuse(path, f"expected {_EXPECTED}, got {got}")
        return UNKNOWN
    texts = [_text(value, (*path, place), reading) for place, value in enumerate(values)]
    first: dict[Any, int] = {}
    for place, text in enumerate(texts):
        if text is not UNKNOWN and first.setdefault(text, place) != place:
            reading.refuse((*path, place), f"{shortened(text)!r} comes twice", relation=True)
            texts[place] = UNKNOWN
    return UNKNOWN if UNKNOWN in texts else texts


def _text(value: Value, path: Path, reading: Reading) -> Any:
    """One value of an axis, as it is filled in."""
    if isinstance(value, str) and "{{" in value:
        value = reading.fill(value, path)
        if value is None:
            return UNKNOWN
        if "{{" in value:
            reading.refuse(path, "a value of a matrix holds no '{{'", relation=True)
            return UNKNOWN
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    quotes = "; put it in quotes" if isinstance(value, (bool, float)) else ""
    got = "an empty text" if value == "" else shown(value)
    reading.refuse(path, f"expected a text or a whole number, got {got}{quotes}")
    return UNKNOWN


def _excluded(value: Value, path: Path, reading: Reading) -> Any:
    """The entries of `exclude`, as combinations of some of the axes."""
    if value is None:
        return []
    if not isinstance(value, list):
        reading.refuse(path, f"expected a list of mappings, such as [{{shard: 1, zone: b}}], got {shown(value)}")
        return UNKNOWN
    entries: list[Any] = []
    for number, entry in enumerate(value):
        here = (*path, number)
        if not isinstance(entry, dict) or not entry:
            got = "an empty mapping" if entry == {} else shown(entry)
            reading.refuse(here, f"expected a mapping of names to values, such as {{shard: 1, zone: b}}, got {got}")
            entries.append(UNKNOWN)
            continue
        entries.append({name: _text(item, (*here, name), reading) for name, item in entry.items()})
    wrong = any(entry is UNKNOWN or UNKNOWN in entry.values() for entry in entries)
    return UNKNOWN if wrong else entries


def _combinations(
    axes: dict[str, list[str]], excluded: list[dict[str, str]], path: Path, reading: Reading
) -> list[Combination] | Any:
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MOST_COPIES:
        reading.refuse(path, f"it makes {count} copies; at most {MOST_COPIES} are allowed", relation=True)
        return UNKNOWN
    known = len(reading.findings)
    left = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    for number, entry in enumerate(excluded):
        here = (*path, "exclude", number)
        for name in entry:
            if name not in axes:
                hint = did_you_mean(name, axes) or f"; there are {', '.join(axes)}"
                reading.refuse((*here, name), f"unknown axis {shortened(name)!r}{hint}", at_key=True, relation=True)
        kept = [combination for combination in left if not entry.items() <= combination.items()]
        if len(kept) == len(left) and entry.keys() <= axes.keys():
            reading.refuse(here, "it excludes nothing: no combination that is left fits it", relation=True)
        left = kept
    if not left:
        reading.refuse((*path, "exclude"), "nothing is left: every combination is excluded", relation=True)
    return left if len(reading.findings) == known else UNKNOWN


def filled(text: str, combination: Combination) -> str:
    """The text with the values of one copy."""
    return patterns.sub(TEMPLATE, lambda match: combination.get(match[1], match[0]), text)


def axes_in(text: str) -> set[str]:
    return set(patterns.findall(TEMPLATE, text))


def copy_text(combination: Combination) -> str:
    """A copy for people: `shard=3, zone=a`."""
    return ", ".join(f"{name}={shortened(value)}" for name, value in combination.items())
