"""An announcer's port map: which names stand for which port, and which of them somebody has to find a port for.

`{"aurora": "http", "http": "80"}`: the value of a name is a number, or the name of another one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def resolve(portmap: Mapping[str, str]) -> dict[str, int | str]:
    """What each name stands for in the end: a number, or the name of a port that has to be found.

    Raises ValueError where names lead in a circle.
    """
    return {name: _end(name, portmap) for name in portmap}


def _end(name: str, portmap: Mapping[str, str]) -> int | str:
    met = [name]
    here = portmap[name]
    while not _is_number(here) and here in portmap:
        if here == met[-1]:  # a name for itself: the port of that name
            return here
        if here in met:
            raise ValueError(f"its names lead in a circle: {' -> '.join([*met[met.index(here) :], here])}")
        met.append(here)
        here = portmap[here]
    return int(here) if _is_number(here) else here


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def to_find(resolved: Mapping[str, int | str], mentioned: Iterable[str]) -> set[str]:
    """The ports a host has to give: those the map ends in, and those mentioned that lead to no number."""
    wanted = {*resolved.values(), *(resolved.get(name, name) for name in mentioned)}
    return {port for port in wanted if isinstance(port, str)}
