"""Pictures of a task's graph: a task in, text out. Pure.

    picture = picture_of(task, {"gather": 12.5})
    print(FORMATS["dot"](picture, Paper()))

FORMATS is the table, `kind` says what a row of it is; a format is a module of its own, imported when it is asked for.
ASCII and SVG come from the same `layout`, which knows nothing of either.
"""

from __future__ import annotations

from .kind import Format, Paper, TooLarge
from .picture import Edge, Node, Picture, Plan, picture_of

__all__ = ["FORMATS", "Edge", "Node", "Paper", "Picture", "Plan", "TooLarge", "picture_of"]


def _ascii(picture: Picture, paper: Paper) -> str:
    from .ascii import draw

    return draw(picture, paper)


def _dot(picture: Picture, paper: Paper) -> str:
    from .dot import draw

    return draw(picture, paper)


def _mermaid(picture: Picture, paper: Paper) -> str:
    from .mermaid import draw

    return draw(picture, paper)


def _svg(picture: Picture, paper: Paper) -> str:
    from .svg import draw

    return draw(picture, paper)


FORMATS: dict[str, Format] = {"ascii": _ascii, "dot": _dot, "mermaid": _mermaid, "svg": _svg}
