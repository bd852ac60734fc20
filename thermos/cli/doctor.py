"""`thermos doctor`: what this host can enforce, each line proved by doing it."""

from __future__ import annotations

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

OPTIONS = (Option("missing", "Show only what does not work.", "flag"), JSON)


def run(given: dict[str, Any]) -> int:
    try:
        os.makedirs(paths.tasks_dir(given["root"]), mode=0o711, exist_ok=True)
        place = tempfile.mkdtemp(prefix=".doctor-", dir=given["root"])
    except OSError as error:
        raise Cannot(f"cannot try anything in {given['root']}: {error.strerror}") from None
    try:
        directory, state = f"{place}/directory", f"{place}/state"
        os.mkdir(directory)
        os.mkdir(state)
        facts = [fact for fact in host.probe(host.Ground(directory, state)) if not (given["missing"] and fact.works)]
    finally:
        shutil.rmtree(place, ignore_errors=True)
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
