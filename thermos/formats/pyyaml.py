"""PyYAML, imported without the regular expressions that its own reader, resolver and constructor would have.

It compiles them all when it is imported: with `re` two thirds of that time, a seventh of the time from `thermos run` to
the first process, and libyaml's parser uses none of them. So while it is imported, and nobody has imported `re` before,
what it takes for `re` compiles nothing until somebody uses it.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Pattern:
    """As `re.Pattern`, compiled when it is first used."""

    def __init__(self, *given: Any) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        return getattr(_re().compile(*self._given), name)  # re keeps what it has compiled


class _Patterns(ModuleType):
    """As `re`, imported when somebody wants more of it than to compile."""

    X = 64
    compile = _Pattern

    def __getattr__(self, name: str) -> Any:
        return getattr(_re(), name)


_stand_in = _Patterns("re")


def _re() -> Any:
    _leave()
    import re

    return re


def _leave() -> None:
    if sys.modules.get("re") is _stand_in:
        del sys.modules["re"]


sys.modules.setdefault("re", _stand_in)
try:
    import yaml
finally:
    _leave()

__all__ = ["yaml"]
