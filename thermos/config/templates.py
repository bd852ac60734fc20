"""Templates: `{{name}}` in a text, filled in from bindings as pystachio's Mustache does.

A name is `word`, then any of `.word` and `[index]`, without spaces. The innermost is filled in first, so names can be
made from names (`{{port{{thermos.user}}}}`), and again until nothing changes. `{{&x}}` gives the text `{{x}}`.
"""

from __future__ import annotations

from . import patterns
from .wording import shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 100
LONGEST = 1 << 20  # characters: far above what one argument of a command may hold
OF_THE_TASK = ("thermos.task_id", "thermos.user")

_TEMPLATE = r"\{\{(&)?([^{}]+?)\1?\}\}"
_NAME = r"[^\d\W]\w*(?:\.[^\d\W]\w*|\[[\w\-./]+\])*"
_PORT = "thermos.ports["


class Filled:
    """`names`: every name met, in order; `unbound`: those still standing in the text."""

    __slots__ = ("names", "text", "unbound")

    def __init__(self, text: str, names: list[str], unbound: list[str]) -> None:
        self.text = text
        self.names = names
        self.unbound = unbound


def fill(text: str, bindings: Mapping[str, str]) -> Filled:
    """Fill in every template that is bound.

    Raises ValueError, its text for people, for what is not a name, for texts that never settle or grow too long.
    """
    names: dict[str, None] = {}
    for _ in range(ROUNDS):
        filled, unbound, changed = _one_round(text, bindings, names)
        if not changed:
            if not unbound:
                filled = patterns.sub(_TEMPLATE, r"{{\2}}", filled)
            return Filled(filled, list(names), unbound)
        text = filled
    raise ValueError(f"its templates still change after {ROUNDS} rounds: one is bound to a text that names itself")


def _one_round(text: str, bindings: Mapping[str, str], names: dict[str, None]) -> tuple[str, list[str], bool]:
    pieces: list[str] = []
    unbound: dict[str, None] = {}
    length = end = 0
    changed = False
    for match in patterns.finditer(_TEMPLATE, text):
        literal, name = match.groups()
        if literal:
            continue
        value = bindings.get(name)
        _check_name(name, bound=value is not None)
        names[name] = None
        if value is None:
            unbound[name] = None
            continue
        pieces += (text[end : match.start()], value)
        length += match.start() - end + len(value)
        end = match.end()
        changed = True
        if length > LONGEST:
            raise ValueError(f"filled in, it is longer than {LONGEST} characters")
    pieces.append(text[end:])
    return "".join(pieces), list(unbound), changed


def _check_name(name: str, *, bound: bool) -> None:
    literally = f"for that text itself write {'{{&' + shortened(name) + '}}'!r}"
    if not patterns.fullmatch(_NAME, name):
        bare = "".join(name.split())
        if patterns.fullmatch(_NAME, bare):
            raise ValueError(f"no spaces may stand in a template: write '{{{{{bare}}}}}'; {literally}")
        raise ValueError(f"{'{{' + shortened(name) + '}}'!r} is no template; {literally}")
    if bound or not name.startswith("thermos.") or name in OF_THE_TASK or port_named(name) is not None:
        return
    if name.startswith("thermos.ports."):
        raise ValueError(f"write {{{{thermos.ports[{name[len('thermos.ports.') :]}]}}}}, not {{{{{name}}}}}")
    raise ValueError(f"there is no {{{{{name}}}}}: there are {', '.join(OF_THE_TASK)} and thermos.ports[NAME]")


def port_variable(name: str) -> str:
    """The environment variable that a process finds a port in."""
    return "THERMOS_PORT_" + patterns.sub(r"\W", "_", name.upper())


def port_named(name: str) -> str | None:
    """The NAME of `thermos.ports[NAME]`."""
    if not name.startswith(_PORT) or name.find("]") != len(name) - 1:
        return None
    return name[len(_PORT) : -1]
