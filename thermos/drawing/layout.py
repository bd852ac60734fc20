"""Where boxes and lines of one plan go, on a grid of cells: layers, an order in each, positions, lines between them.

After Sugiyama, Tagawa and Toda (1981): layers by longest chain, an order with few crossings by barycentres, positions
near those of the neighbours. An edge over several layers passes through a *bend* in each between. All edges of one
process with the same label are one *net*: one line that leaves the process and forks.

What may be relied on, because a line is to be followed by eye from box to box:

* lines of different nets share no cell but where they cross, and there both go straight on;
* a net forks three ways at the most, so that a cell with four arms is always a crossing;
* every line into a box ends at a port of its own.

`items` makes the layers, `ordering` orders them, `placing` says where across, `routing` where the lines go.

Along: the direction of the arrows. Across: the other one. Lines across run on multiples of `Spacing.across`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .items import Hop, Item, Spacing, items_of
from .ordering import put_in_order
from .picture import Plan
from .placing import put_in_place, put_ports
from .routing import Stretch, route


@dataclass(frozen=True)
class Box:
    """A process: its border's first cell and its size with the border."""

    number: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Word:
    """A label, written over its net's line: the text's first cell."""

    x: int
    y: int
    text: str


@dataclass
class Layout:
    """All in cells, from 0. `lines` are straight, both ends in, from (x, y) to (x, y)."""

    spacing: Spacing
    width: int = 0
    height: int = 0
    boxes: list[Box] = field(default_factory=list[Box])
    lines: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])
    ports: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # where lines leave boxes
    heads: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # just before a box
    words: list[Word] = field(default_factory=list[Word])


def lay_out(plan: Plan, sizes: Mapping[int, tuple[int, int]], spacing: Spacing) -> Layout:
    """`sizes`: process -> columns and lines of the text in its box. Raises TooLarge."""
    layers, hops = items_of(plan, sizes, spacing)
    put_in_order(layers)
    put_ports(layers, spacing)
    put_in_place(layers, spacing)
    return _drawn(layers, hops, sizes, spacing)


def _drawn(
    layers: Sequence[Sequence[Item]],
    hops: Sequence[Sequence[Hop]],
    sizes: Mapping[int, tuple[int, int]],
    spacing: Spacing,
) -> Layout:
    routes = [route(between, spacing) for between in hops]
    columns = [item.first for layer in layers for item in layer]
    columns += [column for stretches, _ in routes for stretch in stretches for column in stretch.span()]
    drawn = _Drawn(spacing, min(columns))
    begin = 0
    for layer, between, (stretches, tracks) in zip(layers, hops, routes, strict=True):
        end = begin + max((_thickness(sizes[item.number], spacing) for item in layer if item.number >= 0), default=1)
        for item in layer:
            if item.number >= 0:
                drawn.box(item, begin, sizes[item.number])
        label = max((len(hop.label) for hop in between), default=0)
        room = (label + 1 if spacing.rightward else 1) if label else 0
        first = end + room + (2 if spacing.rightward else 1)
        following = first + max(tracks - 1, 0) * spacing.track + bool(tracks) + spacing.rightward + 1
        own: dict[Hop, list[Stretch]] = {}
        for stretch in stretches:
            own.setdefault(stretch.hop, []).append(stretch)
        for hop in between:
            drawn.hop(hop, begin, sizes, own.get(hop, []), first, following)
        begin = following
    return drawn.layout


def _thickness(size: tuple[int, int], spacing: Spacing) -> int:
    return size[0] + 4 if spacing.rightward else size[1] + 2


class _Drawn:
    """Puts things given as (along, across) where they belong in x and y."""

    def __init__(self, spacing: Spacing, lowest: int) -> None:
        self.spacing = spacing
        self.lowest = lowest
        self.layout = Layout(spacing)

    def point(self, along: int, column: int, more: int = 0) -> tuple[int, int]:
        """The cell of a column; `more` cells further across."""
        across = 1 + (column - self.lowest) * self.spacing.across + more
        x, y = (along, across) if self.spacing.rightward else (across, along)
        self.layout.width = max(self.layout.width, x + 1)
        self.layout.height = max(self.layout.height, y + 1)
        return x, y

    def box(self, item: Item, along: int, size: tuple[int, int]) -> None:
        x, y = self.point(along, item.first, -1)
        end_x, end_y = self.point(along + _thickness(size, self.spacing) - 1, item.first + item.units - 1, 1)
        self.layout.boxes.append(Box(item.number, x, y, end_x - x + 1, end_y - y + 1))

    def hop(
        self,
        hop: Hop,
        begin: int,
        sizes: Mapping[int, tuple[int, int]],
        stretches: Sequence[Stretch],
        first: int,
        following: int,
    ) -> None:
        """One net from the layer that begins at `begin` to the one that begins at `following`."""
        start = begin - 1
        if hop.entry.number >= 0:
            start = begin + _thickness(sizes[hop.entry.number], self.spacing) - 1
            self.layout.ports.append(self.point(start, hop.begin()))
            if hop.label:
                self.word(hop, start + 1)
        head = following - 1
        tracks = {stretch: first + stretch.track * self.spacing.track for stretch in stretches}
        straight = hop.begin() in hop.ends()
        own = [tracks[stretch] for stretch in stretches if stretch.begin == hop.begin()]
        steps = [tracks[s] for s in stretches if s.begin != hop.begin()]  # behind a change of column
        self.line(start, hop.begin(), head if straight else max(own), hop.begin())
        for stretch in stretches:
            low, high = stretch.span()
            self.line(tracks[stretch], low, tracks[stretch], high)
            changes = steps and stretch.begin == hop.begin()
            for end in stretch.ends:
                self.line(tracks[stretch], end, steps[0] if changes else head, end)
        for item, end in zip(hop.exits, hop.ends(), strict=True):
            if item.number >= 0:
                self.layout.heads.append(self.point(head, end))

    def word(self, hop: Hop, along: int) -> None:
        if self.spacing.rightward:
            x, y = self.point(along, hop.begin())
        else:
            x, y = self.point(along, hop.begin(), -(len(hop.label) // 2))
        self.layout.words.append(Word(x, y, hop.label))

    def line(self, along: int, column: int, end: int, end_column: int) -> None:
        self.layout.lines.append((*self.point(along, column), *self.point(end, end_column)))
