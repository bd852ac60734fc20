"""The quick reader of command lines: reads what is well formed, and leaves everything else to `by_click`.

Importing click takes as long as starting the first process of a task does.
"""

from __future__ import annotations

from .kind import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .kind import Argument, Command


def read(command: Command, words: list[str]) -> dict[str, Any] | None:
    """What the words after the command's name say; None where that takes more than is known here."""
    options = {f"--{option.name}": option for option in (*command.OPTIONS, ROOT)}
    options |= {f"-{option.short}": option for option in command.OPTIONS if option.short}
    given: dict[str, Any] = {option.key: option.default for option in options.values()}
    places: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            places += words[at:]
            break
        if word == "-" or not word.startswith("-"):
            places.append(word)
            continue
        name, equals, text = word.partition("=")
        option = options.get(name)
        if option is None or (equals and (option.kind == "flag" or not name.startswith("--"))):
            return None
        if option.kind == "flag":
            given[option.key] = True
            continue
        if not equals:
            if at == len(words) or words[at].startswith("-"):
                return None
            text = words[at]
            at += 1
        try:
            value = option.value(text)
        except ValueError:
            return None
        given[option.key] = (*given[option.key], value) if option.kind == "repeatable" else value
    return given if _place(command.ARGUMENTS, places, given) else None


def _place(arguments: tuple[Argument, ...], places: list[str], given: dict[str, Any]) -> bool:
    """Put the words without a name where they belong. False where they are too few or too many."""
    for argument in arguments:
        if argument.required and not places:
            return False
        if argument.many:
            given[argument.key] = tuple(places)
            places = []
        else:
            given[argument.key] = places[0] if places else None
            places = places[1:]
    return not places
