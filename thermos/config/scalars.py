"""What an unquoted word means: YAML 1.2's core schema, and the same for a number that a template gave.

`no`, `on`, `22:22` and dates are text, as YAML 1.2 has them. One departure: a number with a leading zero (`012`) is
text too, since it is twelve to some readers and ten to others.
"""

from __future__ import annotations

from . import patterns

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_BASES = {"0o": 8, "0x": 16}
_WHOLE = r"[-+]?(?:0|[1-9][0-9]*)"
_BASED = r"0o[0-7]+|0x[0-9a-fA-F]+"
_NUMBER = r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"


def scalar(text: str) -> bool | int | float | str | None:
    """The value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789.+-":
        return text
    if patterns.fullmatch(_WHOLE, text):
        return whole(text)
    if patterns.fullmatch(_BASED, text):
        return int(text[2:], _BASES[text[:2]])
    if patterns.fullmatch(_NUMBER, text):
        return float(text)
    return text


def whole(digits: str) -> int | float:
    """A whole number. Beyond a hundred digits a float: no field takes it, and Python refuses to convert thousands."""
    return int(digits) if len(digits) <= 100 else float(digits)
