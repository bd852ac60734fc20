"""Begin, end and sweep limits."""

from __future__ import annotations

import os

from . import records
from .kinds import KINDS, CannotLimit, in_blocks
from .usage import Disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def begin(
    directory: str,
    limit: int,
    state: str,
    holder: str,
    *,
    files: int | None = None,
    kinds: Sequence[str] = tuple(KINDS),
) -> Disk:
    """Let a directory hold `limit` bytes and `files` files and directories, by the first of `kinds` that works.

    To be called before anything is in it (only "walker" takes a directory that holds something) and before a mount
    namespace is made from ours. A mount takes over its owner and mode. The same again, for the same holder, sees that
    the limit is held and returns what it did the first time. `holder` is the name of a file in `state`, a directory
    that only its owner may write.

    Raises CannotLimit with the reasons of every kind, ValueError for what is no limit, OSError where the records
    cannot be kept. In each case nothing is left behind.
    """
    if limit <= 0 or (files is not None and files <= 0):
        raise ValueError(f"cannot limit {directory} to {limit} bytes and {files} files: each must be at least 1")
    directory, state = os.path.realpath(directory), os.path.abspath(state)
    with records.locked(state, holder, make=True) as place:
        assert place is not None
        there = records.read(place)
        if there is not None and there[0] == records.MAKING:  # whoever made it died at that
            _undo(place, there[1])
            there = None
        if there is not None:
            return _same(place, *there, directory, limit, files)
        reasons: list[list[str]] = []
        remedy = ""
        for name in kinds:
            disk = Disk(
                kind=name,
                directory=directory,
                limit=limit,
                files=files,
                state=state,
                holder=holder,
                passed_over=reasons,
            )
            try:
                _begin(place, disk)
                return disk
            except CannotLimit as error:
                reasons.append([name, str(error)])
                remedy = remedy or error.remedy
        records.remove(place)
    raise CannotLimit("; ".join(f"{name}: {why}" for name, why in reasons), remedy)


def _begin(place: str, disk: Disk) -> None:
    noted = False

    def note() -> None:
        nonlocal noted
        noted = True
        records.write(place, records.MAKING, disk)

    try:
        KINDS[disk["kind"]].begin(disk, place, note)
        records.write(place, records.HOLDS, disk)
    except BaseException as error:
        if noted:
            _undo(place, disk)
        if isinstance(error, OSError):
            where = f" ({error.filename})" if error.filename else ""
            raise CannotLimit(f"{error.strerror or error}{where}") from error
        raise


def _undo(place: str, disk: Disk) -> None:
    KINDS[disk["kind"]].end(disk, place, records.MAKING, lambda stage: None)
    for name in os.listdir(place):
        os.unlink(f"{place}/{name}")


def _same(place: str, stage: str, disk: Disk, directory: str, limit: int, files: int | None) -> Disk:
    if (disk["directory"], disk["files"]) != (directory, files) or disk["limit"] not in (limit, in_blocks(limit)):
        raise CannotLimit(f"{disk['holder']} has a limit already, of {disk['limit']} bytes for {disk['directory']}")
    _again(place, stage, disk)
    return disk


def again(disk: Disk) -> None:
    """See that a limit is held, and set it again where a reboot has taken it away; before anything uses its directory.

    Raises CannotLimit.
    """
    with records.locked(disk["state"], disk["holder"]) as place:
        there = None if place is None else records.read(place)
        if place is None or there is None:
            raise CannotLimit(f"nothing is known of the limit of {disk['directory']} any more")
        _again(place, *there)


def _again(place: str, stage: str, disk: Disk) -> None:
    if stage == records.MAKING:
        raise CannotLimit(f"the limit of {disk['directory']} was never set: it must be begun anew")
    try:
        KINDS[disk["kind"]].again(disk, place, stage)
    except OSError as error:
        raise CannotLimit(f"the limit of {disk['directory']} cannot be set again: {error.strerror or error}") from error
    if stage != records.HOLDS:
        records.write(place, records.HOLDS, disk)


def end(disk: Disk) -> str:
    """Take a limit away; the files stay in its directory. To be called when nothing runs in there any more.

    A `watch` of it must be over as well. The text says which files could not be brought back and why (they are still to
    be seen in the directory, read-only); "": they were. `end` again, or `sweep`, tries it again. For kind "loop" it
    takes as long as copying the files does. Raises OSError.
    """
    return _end_of(disk["state"], disk["holder"])


def _end_of(state: str, holder: str, *, wait: bool = True, sure: Callable[[], bool] = lambda: True) -> str:
    with records.locked(state, holder, wait=wait) as place:
        if place is None or not sure():
            return ""
        there = records.read(place)
        if there is None:
            records.remove(place)
            return ""
        return _end(place, *there)


def _end(place: str, stage: str, disk: Disk) -> str:
    came_to: list[str] = []

    def note(stage: str) -> None:
        came_to.append(stage)
        records.write(place, stage, disk)

    kept = KINDS[disk["kind"]].end(disk, place, stage, note)
    if not kept and records.ENDED not in came_to:
        records.remove(place)
    return kept


def sweep(state: str, alive: Callable[[str], bool]) -> dict[str, str]:
    """End the limits of those who are not alive: holder -> what `end` says of it.

    `alive(holder)` must say yes from before `begin` on. What somebody else is at is left to them.
    """
    swept: dict[str, str] = {}
    for holder in records.holders(state):
        if alive(holder):
            continue
        try:
            swept[holder] = _end_of(state, holder, wait=False, sure=lambda holder=holder: not alive(holder))  # type: ignore[misc]
        except (OSError, ValueError, KeyError, CannotLimit) as error:
            swept[holder] = str(error)
    return swept
