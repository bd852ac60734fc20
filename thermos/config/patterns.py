"""Regular expressions, imported with the first text that needs one.

`re` takes a sixth of the time from `thermos run` to the first process, and most task files say nothing that it is
needed for: so the modules on that way ask here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator
    from typing import Any


def search(pattern: str, text: str) -> re.Match[str] | None:
    import re

    return re.search(pattern, text)


def fullmatch(pattern: str, text: str) -> re.Match[str] | None:
    import re

    return re.fullmatch(pattern, text)


def finditer(pattern: str, text: str) -> Iterator[re.Match[str]]:
    import re

    return re.finditer(pattern, text)


def findall(pattern: str, text: str) -> list[Any]:
    import re

    return re.findall(pattern, text)


def sub(pattern: str, by: str | Callable[[re.Match[str]], str], text: str) -> str:
    import re

    return re.sub(pattern, by, text)
