"""What a layout is made of: processes and bends in layers, and the nets between one layer and the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .kind import TooLarge
from .picture import Plan

#: More than anybody looks at, and as much as a second of work.
MOST_BENDS = 20_000


@dataclass(frozen=True)
class Spacing:
    """Of a drawing, in cells. `rightward`: along is x and across is y; else downward."""

    rightward: bool
    across: int  # between neighbouring columns of lines
    track: int  # between neighbouring tracks


class Item:
    """A process in its layer, or a bend of a net in a layer that the net passes. Columns are counted in units."""

    __slots__ = ("arriving", "first", "leaving", "number", "order", "units")

    def __init__(self, number: int, units: int) -> None:
        self.number = number  # of the process; -1: a bend
        self.units = units  # columns that lines may use
        self.first = 0  # its first column
        self.order = 0  # its place in the layer
        self.arriving: list[Hop] = []
        self.leaving: list[Hop] = []


class Hop:
    """A net between two layers: from one item to some of the next layer. `label` where it leaves its process."""

    __slots__ = ("entry", "exits", "label", "leaves", "reaches")

    def __init__(self, entry: Item, label: str) -> None:
        self.entry = entry
        self.exits: list[Item] = []
        self.label = label
        self.leaves = 0  # the column's offset in the entry ...
        self.reaches: dict[Item, int] = {}  # ... and in each exit

    def begin(self) -> int:
        return self.entry.first + self.leaves

    def ends(self) -> list[int]:
        return [item.first + self.reaches[item] for item in self.exits]


def items_of(
    plan: Plan, sizes: Mapping[int, tuple[int, int]], spacing: Spacing
) -> tuple[list[list[Item]], list[list[Hop]]]:
    """The items of each layer, and the hops from each layer to the next."""
    layers: list[list[Item]] = []
    layer_of: dict[int, int] = {}
    item_of: dict[int, Item] = {}
    for depth, numbers in enumerate(plan.layers):
        for number in numbers:
            layer_of[number] = depth
            item_of[number] = Item(number, _units(sizes[number], spacing))
        layers.append([item_of[number] for number in numbers])
    nets: dict[tuple[int, str], list[int]] = {}
    for edge in plan.edges:
        nets.setdefault((edge.before, edge.label), []).append(edge.after)
    hops: list[list[Hop]] = [[] for _ in layers]
    bends = 0
    for (before, label), targets in nets.items():
        entry, depth, left = item_of[before], layer_of[before], set(targets)
        while left:
            hop = Hop(entry, label if entry.number >= 0 else "")
            hops[depth].append(hop)
            entry.leaving.append(hop)
            depth += 1
            hop.exits = [item_of[number] for number in targets if layer_of[number] == depth]
            left.difference_update(item.number for item in hop.exits)
            if left:
                entry = Item(-1, 1)
                layers[depth].append(entry)
                hop.exits.append(entry)
                bends += 1
                if bends > MOST_BENDS:
                    raise TooLarge(f"its edges would have more than {MOST_BENDS} bends")
            for item in hop.exits:
                item.arriving.append(hop)
    for item in item_of.values():
        slots = sum(slot_of(hop, spacing) for hop in item.leaving)
        item.units = max(item.units, slots, len(item.arriving))
        if not spacing.rightward:
            item.units |= 1  # then there is a column in the middle
    return layers, hops


def _units(size: tuple[int, int], spacing: Spacing) -> int:
    """Columns that a box takes for its text. A box ends one cell before its first and after its last column."""
    if spacing.rightward:
        return 1 + -(-(size[1] - 1) // spacing.across)
    return 1 + -(-(size[0] + 1) // spacing.across)


def slot_of(hop: Hop, spacing: Spacing) -> int:
    """Columns that a line takes where it leaves its process: more where a label is written across it."""
    if spacing.rightward or not hop.label:
        return 1
    return 1 + 2 * -(-(len(hop.label) // 2 + 1) // spacing.across)
