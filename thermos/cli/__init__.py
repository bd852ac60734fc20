"""The command line: the table of commands, and how one is read and run.

A command line is read by `quick` where it can be, and by `by_click` otherwise; both work from the same table in
the command's module (see `kind`). A module is imported only for its own command.
"""

from __future__ import annotations

import os
import sys

from thermos import paths

from . import quick, statuses
from .kind import Cannot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .kind import Command

#: Each command and what it does in one line. Its module has its name.
COMMANDS = {
    "run": "Run one task to its end.",
    "resume": "Take over a task whose supervisor is gone.",
    "status": "Show tasks, their processes and runs.",
    "wait": "Block until a task has ended.",
    "kill": "End tasks gracefully, then by force.",
    "signal": "Send one signal to a process of a task.",
    "pause": "Make everything of a task stand still.",
    "unpause": "Let a paused task go on.",
    "update": "Change limits of a task that runs.",
    "tail": "Show and follow what processes wrote.",
    "read": "Show a task's journal, record by record.",
    "why": "Say why a task or a process is as it is.",
    "validate": "Check task files: every error, with its place.",
    "inspect": "Show a task file as it is understood, and where each value comes from.",
    "graph": "Draw a task's processes, their order and the longest chain.",
    "simulate": "Rehearse a task in virtual time, with failures of your choice.",
    "doctor": "Show what this host can enforce, each line proved by doing it.",
    "schema": "Print the JSON Schema of task files, for editors.",
}


def main(argv: list[str] | None = None) -> int:
    """Read a command line (without the program's name), do what it says, return the exit status."""
    words = sys.argv[1:] if argv is None else argv
    _open_standard_descriptors()
    try:
        return _main(words)
    except BrokenPipeError:
        _forget_output()
        return statuses.BROKEN_PIPE
    except KeyboardInterrupt:
        return statuses.INTERRUPTED


def load(name: str) -> Command:
    """The module of a command in the table."""
    module: Any = __import__(f"{__name__}.{name}", fromlist=["run"])
    command: Command = module
    return command


def _main(words: list[str]) -> int:
    given: dict[str, Any] = {}
    try:
        answer = _read(words)
        if isinstance(answer, int):
            return answer
        command, given = answer
        given["root"] = os.path.abspath(given["root"]) if given["root"] else paths.default_root()
        status = command.run(given)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        raise
    except Cannot as error:
        print(_harmless(str(error)), file=sys.stderr)
        return error.status
    except Exception as error:
        from . import errors

        return errors.report(error, given)


def _harmless(text: str) -> str:
    """What is said may hold what a command line or a file said: no escapes to a terminal."""
    from thermos.config.wording import printable

    return "\n".join(map(printable, text.split("\n")))


def _read(words: list[str]) -> tuple[Command, dict[str, Any]] | int:
    if words and words[0] in COMMANDS:
        command = load(words[0])
        given = quick.read(command, words[1:])
        if given is not None:
            return command, given
    from . import by_click

    return by_click.read(words)


def _open_standard_descriptors() -> None:
    """Where our caller has closed 0, 1 or 2: else the next file that is opened, a lock or a journal, would be that."""
    try:
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(fd, True)
        os.close(fd)
    except OSError:
        pass  # a bare chroot: whoever made it has to take care


def _forget_output() -> None:
    """Nobody reads our output: let the interpreter's last flush go nowhere instead of failing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (AttributeError, OSError, ValueError):
            pass
