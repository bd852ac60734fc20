"""How paths and values are named in what people read."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Value = bool | int | float | str | list["Value"] | dict[str, "Value"] | None  # what a file can hold
    Path = tuple[str | int, ...]  # the way to a value: names of fields, places in lists


def path_text(path: Path) -> str:
    """A path for people: `processes[2].max_failures`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{shortened(step)!r}]"
    return text or "the task"


def shown(value: Value) -> str:
    """A value as an error names it: short, on one line, harmless on a terminal."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {shortened(value)!r}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return shortened(str(value))


def shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def plain(number: float) -> str:
    """A number without a needless fraction."""
    return str(int(number)) if number == int(number) else str(number)


def printable(text: str) -> str:
    """Text of somebody else's making, harmless to a terminal and on one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
