"""A drawing of characters: boxes and arrows where they can be followed, a list where they cannot."""

from __future__ import annotations

from collections.abc import Iterator

from . import wording
from .columns import isolated, pieces, width
from .items import Spacing
from .kind import Paper, TooLarge
from .layout import Layout, lay_out
from .picture import Node, Picture, Plan

#: Processes and edges above which a drawing is a maze, and a list says more.
MOST_DRAWN, MOST_EDGES = 60, 150
#: Columns to keep within where the paper has no limit of its own.
_USUAL = 120
_NAMED = 4

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_CROSSING = _UP | _DOWN | _LEFT | _RIGHT
_LINES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"  # by arms
_PLAIN_LINES = " |||-+++-+++-++|"  # a crossing: what goes across passes below
_LIGHT, _HEAVY = "┌─┐│└┘├┬", "┏━┓┃┗┛┠┯"  # corners and sides, and where a line leaves to the right, and downward
_PLAIN_LIGHT, _PLAIN_HEAVY = "+-+|++++", "#=####++"


def draw(picture: Picture, paper: Paper) -> str:
    lines = [_line(isolated(picture.name), paper.plain)]
    for plan in picture.plans:
        drawn = _plan(picture, plan, paper)
        lines += ["", _line(wording.headline(picture, plan), paper.plain), "", *drawn, ""]
        if len(plan.critical) > 1:
            lines.append(_line(wording.chain(picture, plan, "->" if paper.plain else "→"), paper.plain))
    notes = list(wording.notes(picture))
    lines += [""] * bool(notes) + [_line(note, paper.plain) for note in notes]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _line(text: str, plain: bool) -> str:
    return text.encode("ascii", "backslashreplace").decode() if plain else text


def _plan(picture: Picture, plan: Plan, paper: Paper) -> list[str]:
    if sum(map(len, plan.layers)) > MOST_DRAWN or len(plan.edges) > MOST_EDGES:
        return list(_listed(picture, plan, paper))
    drawings: list[list[str]] = []
    for rightward in (True, False):
        try:
            drawing = boxes(picture, plan, rightward=rightward, plain=paper.plain)
        except TooLarge:
            break
        if _columns(drawing) <= (_USUAL if paper.columns is None else paper.columns):
            return drawing
        drawings.append(drawing)
    if drawings and paper.columns is None:
        return min(drawings, key=_columns)
    return list(_listed(picture, plan, paper))


def _columns(drawing: list[str]) -> int:
    return max(map(width, drawing))


def boxes(picture: Picture, plan: Plan, *, rightward: bool, plain: bool) -> list[str]:
    """One plan as lines of boxes and arrows. Raises TooLarge.

    Plain characters do not say which ways a corner is open: there lines keep a cell apart in both directions.
    """
    spacing = Spacing(rightward, 2 if plain or not rightward else 1, 2 if plain or rightward else 1)
    texts = {number: _texts(picture.nodes[number], plain) for layer in plan.layers for number in layer}
    sizes = {number: (max(map(width, text)), len(text)) for number, text in texts.items()}
    return _Canvas(lay_out(plan, sizes, spacing), picture, texts, plain).lines()


def _texts(node: Node, plain: bool) -> list[str]:
    return [_line(text, plain) for text in (wording.name_of(node), wording.marks_of(node)) if text]


class _Canvas:
    """Cells by (x, y): the arms of lines, and characters above them."""

    def __init__(self, layout: Layout, picture: Picture, texts: dict[int, list[str]], plain: bool) -> None:
        self.layout = layout
        self.plain = plain
        self.arms: dict[tuple[int, int], int] = {}
        self.over: dict[tuple[int, int], str] = {}
        for line in layout.lines:
            self._arms(*line)
        rightward = layout.spacing.rightward
        head = (">" if rightward else "v") if self.plain else ("▶" if rightward else "▼")
        self.over.update(dict.fromkeys(layout.heads, head))
        for word in layout.words:
            self._write(word.x, word.y, word.text)
        for box in layout.boxes:
            node = picture.nodes[box.number]
            self._box(box.x, box.y, box.width, box.height, node.critical)
            text = texts[box.number]
            top = box.y + 1 + (box.height - 2 - len(text)) // 2
            for row, words in enumerate(text):
                self._write(box.x + 1 + (box.width - 2 - width(words)) // 2, top + row, words)
        for port in layout.ports:
            heavy = self.over[port] in "━┃#="
            style = self._style(heavy)
            self.over[port] = style[6] if rightward else style[7]

    def lines(self) -> list[str]:
        table = _PLAIN_LINES if self.plain else _LINES
        lines: list[str] = []
        for y in range(self.layout.height):
            cells = (
                self.over[x, y] if (x, y) in self.over else table[self.arms.get((x, y), 0)]
                for x in range(self.layout.width)
            )
            lines.append("".join(cells).rstrip())
        while not lines[0]:  # a line's place beyond the first box, in a layer where no line is
            del lines[0]
        return lines

    def _arms(self, x: int, y: int, end_x: int, end_y: int) -> None:
        if x == end_x:
            low, high, back, forth = min(y, end_y), max(y, end_y), _UP, _DOWN
        else:
            low, high, back, forth = min(x, end_x), max(x, end_x), _LEFT, _RIGHT
        for at in range(low, high + 1):
            cell = (x, at) if x == end_x else (at, y)
            arms = (back if at > low else 0) | (forth if at < high else 0)
            self.arms[cell] = self.arms.get(cell, 0) | arms

    def _style(self, heavy: bool) -> str:
        if self.plain:
            return _PLAIN_HEAVY if heavy else _PLAIN_LIGHT
        return _HEAVY if heavy else _LIGHT

    def _box(self, x: int, y: int, columns: int, rows: int, heavy: bool) -> None:
        style = self._style(heavy)
        right, bottom = x + columns - 1, y + rows - 1
        for row in range(y + 1, bottom):
            self.over.update({(column, row): " " for column in range(x + 1, right)})
            self.over[x, row] = self.over[right, row] = style[3]
        for column in range(x + 1, right):
            self.over[column, y] = self.over[column, bottom] = style[1]
        self.over[x, y], self.over[right, y] = style[0], style[2]
        self.over[x, bottom], self.over[right, bottom] = style[4], style[5]

    def _write(self, x: int, y: int, text: str) -> None:
        for piece, columns in pieces(text):
            self.over[x, y] = piece
            if columns == 2:
                self.over[x + 1, y] = ""
            x += columns


def _listed(picture: Picture, plan: Plan, paper: Paper) -> Iterator[str]:
    """Layer by layer, each process with those it waits for."""
    before: dict[int, list[str]] = {}
    for edge in plan.edges:
        name = wording.name_of(picture.nodes[edge.before])
        before.setdefault(edge.after, []).append(f"{name} ({edge.label})" if edge.label else name)
    for depth, layer in enumerate(plan.layers, 1):
        yield _line(f"layer {depth}: {wording.count(len(layer), 'process', 'processes')}", paper.plain)
        for number in layer:
            node = picture.nodes[number]
            marks = wording.marks_of(node)
            text = f"  {wording.name_of(node)}" + (f" ({marks})" if marks else "")
            named = before.get(number, [])
            if named:
                more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
                text += f", after {', '.join(named[:_NAMED])}{more}"
            yield _line(text, paper.plain)
