"""Ports of boxes, and the place of every item across: as straight as the order of the layers allows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .items import Item, Spacing, slot_of

_SWEEPS = 8


def put_ports(layers: Sequence[Sequence[Item]], spacing: Spacing) -> None:
    """Lines leave and reach a box in the order of where they go to and come from."""
    for layer in layers:
        for item in layer:
            item.leaving.sort(key=lambda hop: sum(exit.order for exit in hop.exits) / len(hop.exits))
            slots = [slot_of(hop, spacing) for hop in item.leaving]
            at = (item.units - sum(slots)) // 2
            for hop, slot in zip(item.leaving, slots, strict=True):
                hop.leaves = at + (slot - 1) // 2
                at += slot
    for layer in layers:
        for item in layer:
            item.arriving.sort(key=lambda hop: (hop.entry.order, hop.leaves))
            ports = len(item.arriving)
            step = min(2, (item.units - 1) // (ports - 1)) if ports > 1 else 1
            at = (item.units - (ports - 1) * step - 1) // 2
            for place, hop in enumerate(item.arriving):
                hop.reaches[item] = at + place * step


def put_in_place(layers: Sequence[Sequence[Item]], spacing: Spacing) -> None:
    """Every item as near to its neighbours as the order and the distances allow."""
    for layer in layers:
        at = 0
        for item, distance in zip(layer, _distances(layer, spacing), strict=True):
            at += distance
            item.first = at
    for sweep in range(_SWEEPS):
        last = sweep == _SWEEPS - 1
        for layer in layers if sweep % 2 else reversed(layers):
            wishes = [_wish(item, above=bool(sweep % 2) or last, below=not sweep % 2 or last) for item in layer]
            for item, place in zip(layer, _nearest(wishes, _distances(layer, spacing)), strict=True):
                item.first = place
    lowest = min(item.first for layer in layers for item in layer)
    for layer in layers:
        for item in layer:
            item.first -= lowest


def _distances(layer: Sequence[Item], spacing: Spacing) -> list[int]:
    """From each item's first column to the first one of the item before it, at least; 0 for the first item."""
    distances = [0] if layer else []
    for before, item in pairwise(layer):
        boxes = (before.number >= 0) + (item.number >= 0)
        apart = (1, 2, 3)[boxes] if spacing.across == 1 else (1, 2, 2)[boxes]
        distances.append(before.units - 1 + apart)
    return distances


def _wish(item: Item, *, above: bool, below: bool) -> tuple[float, float]:
    """The first column that would make its lines straight, and how much that matters."""
    wishes: list[float] = []
    straight = False
    if above:
        for hop in item.arriving:
            wishes.append(hop.begin() - hop.reaches[item])
            straight = straight or (item.number < 0 and hop.entry.number < 0)
    if below:
        for hop in item.leaving:
            wishes += (exit.first + hop.reaches[exit] - hop.leaves for exit in hop.exits)
            straight = straight or (item.number < 0 and any(exit.number < 0 for exit in hop.exits))
    if not item.arriving and not item.leaving:
        return 0, 1e-6  # close to the one before it
    if not wishes:
        return item.first, 0.01
    return sum(wishes) / len(wishes), 4.0 if straight else 1.0


def _nearest(wishes: Sequence[tuple[float, float]], distances: Sequence[int]) -> list[int]:
    """The places nearest to what is wished (least weighted squares) that keep the distances: pooled violators."""
    pools: list[tuple[float, float, int]] = []  # place, weight, members
    offset = 0
    offsets: list[int] = []
    for (wish, weight), distance in zip(wishes, distances, strict=True):
        offset += distance
        offsets.append(offset)
        place, members = wish - offset, 1
        while pools and pools[-1][0] >= place:
            other, more, count = pools.pop()
            place = (place * weight + other * more) / (weight + more)
            weight += more
            members += count
        pools.append((place, weight, members))
    places = [round(place) for place, _, members in pools for _ in range(members)]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]
