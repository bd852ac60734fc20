"""JSON by the functions of `_json` that the standard library's `json` calls, without `json`: that imports `re`, and
with it half as much as `thermos run` imports besides.

What is not as it should be is left to `json`, which says so.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLANK = " \t\n\r"


class _Context:
    """What the scanner is made from; as `json.JSONDecoder`."""

    strict = True
    object_hook = None
    parse_float = float
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__

    def __init__(
        self, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None, parse_int: Callable[[str], Any]
    ) -> None:
        self.object_pairs_hook = object_pairs_hook
        self.parse_int = parse_int


def loads(
    text: str,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
    parse_int: Callable[[str], Any] = int,
) -> Any:
    """As `json.loads`. Raises json.JSONDecodeError (a ValueError), RecursionError."""
    try:
        from _json import make_scanner

        context: Any = _Context(object_pairs_hook, parse_int)
        value, end = make_scanner(context)(text, len(text) - len(text.lstrip(_BLANK)))
        if not text[end:].strip(_BLANK):
            return value
    except (ImportError, StopIteration, ValueError, SystemError):
        pass  # SystemError: an older scanner looks for json's exception, and has none where nobody has imported that
    import json

    return json.loads(text, object_pairs_hook=object_pairs_hook, parse_int=parse_int)


def dumps(value: Any) -> str:
    """As `json.dumps`, without blanks. Raises TypeError and ValueError as that does."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        encode = make_encoder({}, _refuse, encode_basestring_ascii, None, ":", ",", False, False, True)
        return "".join(encode(value, 0))
    except (ImportError, TypeError):
        import json

        return json.dumps(value, separators=(",", ":"))


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is nothing that JSON knows")
