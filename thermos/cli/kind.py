"""The shape of a command: what its module says about its command line, for both readers of it.

A command module has

    HELP       what it does, for `thermos COMMAND --help`
    ARGUMENTS  tuple[Argument, ...]; only the last may be `many`
    OPTIONS    tuple[Option, ...]; `--root` is every command's and is not listed
    run        run(given) -> exit status

`given` has one entry per argument and option, named as it is with "-" replaced by "_", and `root`, an absolute
path. Nothing here may import anything heavy: `thermos run` is on its way to its first process.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Protocol

    Kind = Literal["text", "number", "seconds", "flag", "choice", "repeatable"]

    class Command(Protocol):
        """What a command module has; see above."""

        HELP: str
        ARGUMENTS: tuple[Argument, ...]
        OPTIONS: tuple[Option, ...]

        @staticmethod
        def run(given: dict[str, Any]) -> int: ...


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Cannot(Exception):
    """What a command cannot do, as a sentence for people that begins with "cannot", and its exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Argument:
    """A word by its place. In `given` a text, or a tuple of texts where there may be `many`."""

    def __init__(self, name: str, help: str, *, many: bool = False, required: bool = True) -> None:
        self.name = name
        self.key = name.replace("-", "_")
        self.help = help
        self.many = many
        self.required = required


class Option:
    """A word by its name, `--NAME` or `-SHORT`.

    kind       in `given`
    text       str, or the default
    number     int, 0 or more, or the default
    seconds    float, or the default; written as 30, 1.5, 30s, 500ms, 2m or 1h
    flag       bool
    choice     one of `choices`, or the default
    repeatable tuple of str, in the order given
    """

    def __init__(
        self,
        name: str,
        help: str,
        kind: Kind = "text",
        *,
        short: str = "",
        metavar: str = "",
        default: str | float | None = None,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.key = name.replace("-", "_")
        self.help = help
        self.kind: Kind = kind
        self.short = short
        self.metavar = metavar or name.upper()
        self.choices = choices
        self.default: Any = False if kind == "flag" else () if kind == "repeatable" else default

    def value(self, text: str) -> str | float:
        """What a word on the command line stands for. Raises ValueError with the reason."""
        if self.kind == "number":
            if not (text.isascii() and text.isdigit()):
                raise ValueError(f"{text!r} is not a whole number")
            return int(text)
        if self.kind == "seconds":
            return _seconds(text)
        if self.kind == "choice" and text not in self.choices:
            raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}")
        return text


ROOT = Option(
    "root", "Where tasks are kept (default: $THERMOS_ROOT, else the system's or the user's own).", metavar="DIR"
)
JSON = Option("json", "Print JSON for programs.", "flag")
BIND = Option("bind", "Fill in {{NAME}}; may be given again.", "repeatable", metavar="NAME=VALUE")
JOB = Option("job", "Which job, where an .aurora file has several.", metavar="[CLUSTER/ROLE/ENV/]NAME")
TASK = Option("task", "Which task, where an .aurora or .thermos file has several.", metavar="NAME")
INSTANCE = Option("instance", "The number of the instance, {{mesos.instance}}.", "number", metavar="N")
TASK_ID = Argument("task-id", "The task's id, in full.")
TASK_IDS = Argument("task-id", "The tasks' ids, in full.", many=True)


def _seconds(text: str) -> float:
    number = text.rstrip("hms")
    unit = _UNITS.get(text[len(number) :] or "s")
    digits = number.replace(".", "", 1)
    if unit is None or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text!r} is not a number of seconds (30, 1.5, 30s, 2m, 1h)")
    return float(number) * unit
