"""What went wrong, for people: foreign exceptions become sentences here and nowhere else."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from typing import Any

import msgspec

from thermos import paths
from thermos.checkpoint import journal, tasks
from thermos.core.state import IllegalMove
from thermos.runtime import takeover

from . import statuses
from .kind import Cannot


def report(error: Exception, given: dict[str, Any]) -> int:
    """Say on stderr what stopped a command; its exit status."""
    task_id = given.get("task_id")
    message = explain(error, given.get("root", ""), task_id if isinstance(task_id, str) else None)
    if os.environ.get("THERMOS_DEBUG") == "1":
        traceback.print_exception(error)
    if message is not None:
        print(message, file=sys.stderr)
        return statuses.FAILED
    kind = type(error).__name__
    print(f"this is a bug in thermos: {kind}: {error} (THERMOS_DEBUG=1 shows where)", file=sys.stderr)
    return statuses.BUG


def tell(error: Exception, root: str, task_id: str) -> None:
    """Say on stderr why one task of several was not served. Raises the error again where it is a bug."""
    message = str(error) if isinstance(error, Cannot) else explain(error, root, task_id)
    if message is None:
        raise error
    print(message, file=sys.stderr)


def explain(error: Exception, root: str, task_id: str | None = None) -> str | None:
    """A sentence about an error that is not ours; None for one that is."""
    match error:
        case tasks.NoSuchTask():
            return f"cannot find task {error} under {root}{_did_you_mean(root, str(error))}"
        case journal.Damaged() | journal.WrongVersion() | takeover.CannotTakeOver():
            return str(error)
        case IllegalMove() if task_id is not None:
            return f"cannot make sense of {paths.task_dir(root, task_id)}/{paths.JOURNAL}: {error}"
        case msgspec.DecodeError() if task_id is not None:
            return f"cannot read {paths.task_dir(root, task_id)}/{paths.ACCEPTED}: {error}"
        case OSError() if error.filename is not None and error.strerror:
            name = error.filename if isinstance(error.filename, str) else os.fsdecode(error.filename)
            remedy = f"; the tasks under {root} belong to somebody else" if isinstance(error, PermissionError) else ""
            return f"cannot open {name}: {error.strerror}{remedy}"
        case OSError() if error.strerror and not error.filename:
            return f"cannot go on: {error.strerror}"
        case _:
            return None


def _did_you_mean(root: str, task_id: str) -> str:
    try:
        known = [known_id for known_id in tasks.task_ids(root) if known_id != task_id]  # a directory without a task
    except OSError:
        return ""
    close = [known_id for known_id in known if task_id and known_id.startswith(task_id)][:3]
    close = close or difflib.get_close_matches(task_id, known, 3)
    return f"; did you mean {' or '.join(close)}?" if close else "; `thermos status` lists what is there"
