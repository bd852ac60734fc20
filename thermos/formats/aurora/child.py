"""The process that runs a file: it is asked, gives up everything, runs the file and answers.

`python -I -m thermos.formats.aurora.child CHANNEL PARENT`
"""

from __future__ import annotations

import importlib
import os
import sys

from pystachio import Environment, Ref

from sandbox.seccomp import UnknownMachine
from thermos.config import path_text

from . import confinement, places, result, wire
from .choice import Choice
from .program import CannotRun, Program, refuse
from .selection import Unclear

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .walk import Fault

#: What files import, and is not loaded yet: where Python stands in a directory that only root may enter, nobody else
#: can import anything later.
_LIKELY = """
    array base64 binascii bisect calendar collections configparser contextlib copy csv datetime decimal difflib
    errno fcntl fnmatch fractions functools getpass glob hashlib heapq io itertools json lib2to3.refactor
    lib2to3.fixes.fix_except lib2to3.fixes.fix_exec lib2to3.fixes.fix_ne lib2to3.fixes.fix_numliterals
    lib2to3.fixes.fix_print lib2to3.fixes.fix_raise lib2to3.fixes.fix_repr lib2to3.fixes.fix_unicode logging math
    mmap numbers operator os pipes platform posixpath pprint random re shlex socket string struct subprocess
    tempfile textwrap time traceback types typing unicodedata urllib.parse uuid warnings zlib
"""


def main() -> None:
    channel, parent = int(sys.argv[1]), int(sys.argv[2])
    asked = wire.hear(channel)
    if os.geteuid() == 0 and not _nobody_can_read(importlib.__file__):
        for name in _LIKELY.split():
            try:
                importlib.import_module(name)
            except ImportError:
                pass
    try:
        confinement.give_up(confinement.Bounds(asked["memory"], asked["seconds"]), parent)
    except (OSError, UnknownMachine) as error:
        wire.tell(channel, {"unconfined": str(error)})
        return

    def ask(file: str) -> str:
        wire.tell(channel, {"include": file})
        said = wire.hear(channel)
        if "text" not in said:
            raise refuse(f"cannot include {file!r}: {said['why']}")
        return str(said["text"])

    said = answer(asked, ask)
    try:
        sys.stdout.flush()
    except BaseException:
        pass  # the file has closed it, or put something of its own there
    try:
        wire.tell(channel, said)
    except (ValueError, TypeError, MemoryError) as error:
        why = f"cannot use what the task file defines: {error}"
        wire.tell(channel, _problems([(asked["file"], 0, 0, "", why)]))


def _nobody_can_read(file: str) -> bool:
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(confinement.NOBODY)
    os.seteuid(confinement.NOBODY)
    try:
        return os.access(file, os.R_OK, effective_ids=True)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def answer(asked: dict[str, Any], ask: Callable[[str], str]) -> dict[str, Any]:
    """What a file comes to. `ask` gives the text of one that may not be read here, or raises what `refuse` makes."""
    file = asked["file"]
    bound: dict[Any, str] = {}
    for name, value in asked["bindings"].items():
        try:
            bound[Ref.from_address(name)] = value
        except Ref.InvalidRefError:
            return _problems([(file, 0, 0, "", f"cannot bind {name!r}: a name is made of words, dots and [indices]")])
    program = Program(file, asked["dialect"], ask)
    places.remember(program.sources)
    choice = Choice(asked["job"], asked["task"], asked["instance"])
    take = result.of_aurora if asked["dialect"] == "aurora" else result.of_thermos
    try:
        program.run(asked["text"])
        found = take(program, Environment(bound), choice)
    except CannotRun as error:
        return _problems([(*error.spot, "", f"cannot run the task file: {error.why}")])
    except Unclear as error:
        return _problems([(file, 0, 0, "", f"cannot choose what to run: {error}")])
    except BaseException as error:  # of objects that the file has made
        return _problems([(file, 0, 0, "", f"cannot read the task file: {program.said_by(error)}")])
    if found.faults:
        return _problems([_problem(found, fault, file) for fault in found.faults])
    spots = [[path, line, column] for path, (_, (_, line, column)) in found.walk.spots.items() if path[:1] != ("job",)]
    defaults = [path for path in found.walk.defaults if path[:1] != ("job",)]
    return {"task": found.task, "aside": found.aside, "spots": spots, "defaults": defaults}


def _problems(problems: list[tuple[str, int, int, str, str]]) -> dict[str, Any]:
    return {"problems": problems}


def _problem(found: result.Result, fault: Fault, file: str) -> tuple[str, int, int, str, str]:
    around = fault.path
    while around and around not in found.walk.spots:
        around = around[:-1]
    spot, _ = found.walk.spots.get(around, ((file, 0, 0), None))
    path = path_text(fault.path[2:] if fault.path[:2] == ("job", "task") else fault.path)
    return (*spot, path, f"cannot use {path}: {fault.message}")


if __name__ == "__main__":
    main()
