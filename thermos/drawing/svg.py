"""An image for a browser: self-contained, without scripts, light or dark as the reader likes it.

The same boxes and lines as in characters, with a cell of so many pixels. Every text is told how long it is
(`textLength`), so that it fits its box in whatever font the reader has.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from . import wording
from .columns import width
from .items import Spacing
from .kind import Paper
from .layout import Layout, lay_out
from .picture import Picture, Plan

_COLUMN, _ROW = 9, 18  # pixels
_MARGIN = 18
_HEADING = 36
_STYLE = """\
svg{--ink:#1f2328;--line:#59636e;--paper:#ffffff;--box:#f6f8fa;--chain:#bc4c00}
@media (prefers-color-scheme:dark){svg{--ink:#e6edf3;--line:#9198a1;--paper:#0d1117;--box:#161b22;--chain:#f0883e}}
.paper{fill:var(--paper)}
text{font:14px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--ink);unicode-bidi:isolate}
.heading{font-weight:bold}
.marks,.label{fill:var(--line)}
.edges{fill:none;stroke:var(--line);stroke-width:1.5}
.head{fill:var(--line)}
.box{fill:var(--box);stroke:var(--line);stroke-width:1.5}
.daemon{stroke-width:4}
.ephemeral{stroke-dasharray:5 4}
.critical{stroke:var(--chain);stroke-width:3}"""


def draw(picture: Picture, paper: Paper) -> str:
    """Raises TooLarge."""
    body: list[str] = []
    across = 0
    down = _MARGIN
    for plan in picture.plans:
        layout = _laid_out(picture, plan)
        heading = f"{plan.name}: longest chain {wording.total(picture, plan)}"
        body.append(_text(_MARGIN, down + _ROW / 2, heading, "heading", anchor="start"))
        body.append(f'<g transform="translate({_MARGIN} {down + _HEADING})">')
        body += _plan(picture, layout)
        body.append("</g>")
        across = max(across, layout.width * _COLUMN, width(heading) * _COLUMN)
        down += _HEADING + layout.height * _ROW + _MARGIN
    across += 2 * _MARGIN
    size = f'width="{across}" height="{down}" viewBox="0 0 {across} {down}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>',
        f"<title>{escape(f'The processes of {picture.name}')}</title>",
        f"<desc>{escape('. '.join(_description(picture)))}.</desc>",
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{across}" height="{down}"/>',
    ]
    return "\n".join([*head, *body, "</svg>"]) + "\n"


def _laid_out(picture: Picture, plan: Plan) -> Layout:
    """To the right or downward, whichever is nearer to the shape of a screen."""
    texts = {number: _texts(picture, number) for layer in plan.layers for number in layer}
    sizes = {number: (max(map(width, text)), len(text)) for number, text in texts.items()}
    layouts = [lay_out(plan, sizes, Spacing(True, 1, 2)), lay_out(plan, sizes, Spacing(False, 2, 1))]
    return min(layouts, key=lambda layout: max(layout.width * _COLUMN, layout.height * _ROW * 1.6))


def _texts(picture: Picture, number: int) -> list[str]:
    node = picture.nodes[number]
    return [text for text in (wording.name_of(node), wording.marks_of(node)) if text]


def _plan(picture: Picture, layout: Layout) -> Iterator[str]:
    path = "".join(
        f"M{x * _COLUMN + _COLUMN / 2:g} {y * _ROW + _ROW / 2:g}L{to_x * _COLUMN + _COLUMN / 2:g} "
        f"{to_y * _ROW + _ROW / 2:g}"
        for x, y, to_x, to_y in layout.lines
    )
    # A line ends in the middle of its head's cell, which is not where the head begins.
    ahead = f"h{_COLUMN - 6}" if layout.spacing.rightward else f"v{_ROW - 6}"
    path += "".join(f"M{x * _COLUMN + _COLUMN / 2:g} {y * _ROW + _ROW / 2:g}{ahead}" for x, y in layout.heads)
    if path:
        yield f'<path class="edges" d="{path}"/>'
    for x, y in layout.heads:
        yield f'<path class="head" d="{_head(x, y, rightward=layout.spacing.rightward)}"/>'
    for word in layout.words:
        left, top, long = word.x * _COLUMN, word.y * _ROW, len(word.text) * _COLUMN
        yield f'<rect class="paper" x="{left}" y="{top}" width="{long}" height="{_ROW}"/>'
        yield _text(left + long / 2, top + _ROW / 2, word.text, "label")
    for box in layout.boxes:
        node = picture.nodes[box.number]
        classes = " ".join(("box", *node.marks, *(["critical"] if node.critical else [])))
        west, north = box.x * _COLUMN + _COLUMN / 2, box.y * _ROW + _ROW / 2
        wide, high = (box.width - 1) * _COLUMN, (box.height - 1) * _ROW
        yield f"<g><title>{escape(node.name)}</title>"
        yield f'<rect class="{classes}" x="{west:g}" y="{north:g}" width="{wide}" height="{high}" rx="4"/>'
        texts = _texts(picture, box.number)
        first = north + high / 2 - (len(texts) - 1) * _ROW / 2
        for row, text in enumerate(texts):
            yield _text(west + wide / 2, first + row * _ROW, text, "marks" if row else "name")
        yield "</g>"


def _head(x: int, y: int, *, rightward: bool) -> str:
    """A triangle whose tip touches the box in the next cell."""
    middle, level = x * _COLUMN + _COLUMN / 2, y * _ROW + _ROW / 2
    if rightward:
        return f"M{middle + _COLUMN - 1:g} {level:g}l-10 -4.5v9z"
    return f"M{middle:g} {level + _ROW - 1:g}l-4.5 -10h9z"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> str:
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}" dominant-baseline="central" '
        f'textLength="{width(text) * _COLUMN - 1}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
    )


def _description(picture: Picture) -> Iterator[str]:
    before: dict[int, list[str]] = {}
    for edge in picture.edges:
        label = wording.label_of(edge)
        before.setdefault(edge.after, []).append(picture.nodes[edge.before].name + (f" ({label})" if label else ""))
    for plan in picture.plans:
        yield wording.headline(picture, plan)
        yield wording.chain(picture, plan, "→")
    for node in picture.nodes:
        if node.number in before:
            yield f"{node.name} after {', '.join(before[node.number])}"
    yield from wording.notes(picture)
