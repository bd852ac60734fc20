"""The order of the items in each layer: few crossings, by barycentres."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from .items import Item

_SWEEPS = 8


def put_in_order(layers: Sequence[list[Item]]) -> None:
    _number(layers)
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        downward = sweep % 2 == 0
        for layer in layers if downward else reversed(layers):
            layer.sort(key=lambda item: _barycentre(item, downward=downward))
            for place, item in enumerate(layer):
                item.order = place
        count = _crossings(layers)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    for layer, order in zip(layers, best, strict=True):
        layer[:] = order
    _number(layers)


def _number(layers: Iterable[list[Item]]) -> None:
    for layer in layers:
        for place, item in enumerate(layer):
            item.order = place


def _barycentre(item: Item, *, downward: bool) -> float:
    if not item.arriving and not item.leaving:
        return inf  # it goes where it is in nobody's way
    if downward:
        near = [hop.entry.order for hop in item.arriving]
    else:
        near = [exit.order for hop in item.leaving for exit in hop.exits]
    return sum(near) / len(near) if near else item.order


def _crossings(layers: Iterable[Sequence[Item]]) -> int:
    """How often the straight lines between neighbouring layers cross."""
    count = 0
    for layer in layers:
        ends = [order for item in layer for order in sorted(exit.order for hop in item.leaving for exit in hop.exits)]
        count += _inversions(ends)
    return count


def _inversions(numbers: Sequence[int]) -> int:
    """Pairs in the wrong order, counted in a Fenwick tree."""
    tree = [0] * (max(numbers, default=0) + 2)
    count = 0
    for seen, number in enumerate(numbers):
        at, not_greater = number + 1, 0
        while at:
            not_greater += tree[at]
            at &= at - 1
        count += seen - not_greater
        at = number + 1
        while at < len(tree):
            tree[at] += 1
            at += at & -at
    return count
