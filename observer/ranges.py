"""The Range header of HTTP (RFC 9110, section 14), for one range of bytes. Pure."""

from __future__ import annotations

import re

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins behind the end: answered with 416."""


def parse(header: str | None, size: int) -> tuple[int, int] | None:
    """The offsets (first, one past the last) a Range header asks for, of `size` bytes. Raises Unsatisfiable.

    None: everything. So are several ranges at once and what is no range at all, as the RFC allows.
    """
    match = _ONE_RANGE.fullmatch(header or "")
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0 or size == 0:
            raise Unsatisfiable
        return max(0, size - int(last)), size
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(size, int(last) + 1) if last else size
