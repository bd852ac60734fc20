"""`thermos doctor`: what this host can enforce, each line proved by doing it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from typing import Any

from sandbox import host
from thermos import paths

from .kind import JSON, Cannot, Option
from .words import print_json

HELP = """Try everything that a sandbox may need, and say what works, what does not, why, and what would help.

Nothing is left behind. The exit status is 0 whatever is missing: tasks that do not ask for it run all the same.
"""

ARGUMENTS = ()

_PREFIX = ".doctor-"

OPTIONS = (Option("missing", "Show only what does not work.", "flag"), JSON)


def run(given: dict[str, Any]) -> int:
    try:
        os.makedirs(paths.tasks_dir(given["root"]), mode=0o711, exist_ok=True)
        _sweep(given["root"])
        place, lock = _place(given["root"])
    except OSError as error:
        raise Cannot(f"cannot try anything in {given['root']}: {error.strerror}") from None
    try:
        directory, state = f"{place}/directory", f"{place}/state"
        os.mkdir(directory)
        os.mkdir(state)
        facts = [fact for fact in host.probe(host.Ground(directory, state)) if not (given["missing"] and fact.works)]
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)
    if given["json"]:
        print_json([fact._asdict() for fact in facts])
        return 0
    for fact in facts:
        if fact.works:
            print(f"yes  {fact.what}: {fact.how}" if fact.how else f"yes  {fact.what}")
        else:
            print(f"no   {fact.what}: {fact.why_not}")
            if fact.remedy:
                print(f"     {fact.remedy}")
    return 0


def _place(root: str) -> tuple[str, int]:
    """A directory to try things in, and the lock that says that somebody does."""
    while True:
        place = tempfile.mkdtemp(prefix=_PREFIX, dir=root)
        lock = _locked(place)
        if lock is not None:
            os.fchmod(lock, 0o711)  # as those of tasks: who is root in a user namespace only has to get through
            return place, lock


def _locked(place: str) -> int | None:
    """None: somebody is at it, or has just removed it."""
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return fd
    except BlockingIOError:
        pass
    os.close(fd)
    return None


def _sweep(root: str) -> None:
    """What those have left who were killed while they tried."""
    from sandbox.disk import limit

    for name in os.listdir(root):
        place = f"{root}/{name}"
        lock = _locked(place) if name.startswith(_PREFIX) else None
        if lock is not None:
            limit.sweep(f"{place}/state", lambda holder: False)
            shutil.rmtree(place, ignore_errors=True)
            os.close(lock)
