"""Say when a disk's limit is reached: lines of JSON, from a program that dies with whoever asked.

    {"bytes": N, "limit": N, "files": N, "files_limit": N or null, "unread": N, "reached": "" or why}

The first line comes at once, later ones when the figure has changed by a hundredth of the limit, at most every
TELL_EVERY seconds. The one in which `reached` says why is the last.
"""

from __future__ import annotations

import json
import os
import select
import time

from .kinds import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .kinds import Figure, Watch
    from .usage import Disk

TELL_EVERY = 2.0  # seconds


def watch(disk: Disk, asker: int, tell: Callable[[str], None]) -> bool:
    """Until the limit is reached (True), or `asker`, a descriptor, is at its end (False).

    Raises OSError where the disk is not there, or no more.
    """
    each = KINDS[disk["kind"]].watch(disk)
    try:
        return _watch(disk, each, asker, tell)
    finally:
        each.close()


def _watch(disk: Disk, each: Watch, asker: int, tell: Callable[[str], None]) -> bool:
    told, told_at = -1, 0.0
    while True:
        figure = each.look()
        now = time.monotonic()
        changed = told < 0 or abs(figure.bytes - told) * 100 >= disk["limit"]
        if figure.reached or (changed and now >= told_at + TELL_EVERY) or told < 0:
            tell(_line(disk, figure))
            told, told_at, changed = figure.bytes, now, False
        if figure.reached:
            return True
        if not _await(each, figure, asker, told_at + TELL_EVERY if changed else None):
            return False


def _line(disk: Disk, figure: Figure) -> str:
    words = {
        "bytes": figure.bytes,
        "limit": disk["limit"],
        "files": figure.files,
        "files_limit": disk["files"],
        "unread": figure.unread,
        "reached": figure.reached,
    }
    return json.dumps(words)


def _await(each: Watch, figure: Figure, asker: int, owed_at: float | None) -> bool:
    """Until there is reason to look again. False: the asker is gone."""
    rest = each.rest(figure)
    if _ended(asker, [], rest):
        return False
    if each.fd >= 0:
        left = None if owed_at is None else max(0.0, owed_at - time.monotonic())
        if _ended(asker, [each.fd], left):
            return False
        each.heard()
    return True


def _ended(asker: int, others: list[int], seconds: float | None) -> bool:
    """Wait for one of the others, or for so long; True as soon as the asker is at its end."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        ready, _, _ = select.select([asker, *others], [], [], left)
        if asker in ready and not os.read(asker, 4096):
            return True
        if asker not in ready:
            return False
