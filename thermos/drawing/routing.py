"""The lines between two layers, as in a channel of a circuit board: each net has a *track* across it.

A net that leaves from a column where another one arrives has to be on an earlier track than that one: else they would
share a piece of that column. Where such demands form a circle, one net changes its column first.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from .items import Hop, Spacing


class Stretch:
    """A part of a net on one track: from the column it comes by to those it leaves by."""

    __slots__ = ("before", "begin", "ends", "hop", "track")

    def __init__(self, hop: Hop, begin: int, ends: list[int]) -> None:
        self.hop = hop
        self.begin = begin
        self.ends = ends
        self.track = 0
        self.before: list[Stretch] = []  # those that have to be on an earlier track

    def span(self) -> tuple[int, int]:
        return min(self.begin, *self.ends), max(self.begin, *self.ends)


def route(hops: Sequence[Hop], spacing: Spacing) -> tuple[list[Stretch], int]:
    """The stretches of these hops with their tracks, and the number of tracks."""
    stretches: list[Stretch] = []
    own: dict[Hop, list[Stretch]] = {}
    for hop in hops:
        begin, ends = hop.begin(), hop.ends()
        left, right = [end for end in ends if end < begin], [end for end in ends if end > begin]
        # Straight on, left and right at once would be a fork of four arms: the two sides get a track each.
        sides = [left, right] if begin in ends else [left + right]
        own[hop] = [Stretch(hop, begin, side) for side in sides if side]
        stretches += own[hop]
    leaving_at = {hop.begin(): hop for hop in hops}
    for stretch in stretches:
        for end in stretch.ends:
            other = leaving_at.get(end)
            if other is not None and other is not stretch.hop:
                stretch.before += own[other]
    used = {*leaving_at, *(end for hop in hops for end in hop.ends())}
    stretches += _break_circles(stretches, used)
    return stretches, _put_on_tracks(stretches, 2 if spacing.across == 1 else 1)


def _break_circles(stretches: Sequence[Stretch], used: set[int]) -> list[Stretch]:
    """Let a net in each circle of demands change its column first; the stretches that do that."""
    added: list[Stretch] = []
    while (stuck := _in_a_circle(stretches)) is not None:
        begin = stuck.begin
        free = min(
            (column for column in range(min(used) - 1, max(used) + 2) if column not in used),
            key=lambda column: (abs(column - begin), column),
        )
        used.add(free)
        step = Stretch(stuck.hop, begin, [free])
        for stretch in stretches:
            stretch.before = [step if other is stuck else other for other in stretch.before]
        stuck.begin = free
        stuck.before.append(step)
        added.append(step)
    return added


def _in_a_circle(stretches: Sequence[Stretch]) -> Stretch | None:
    waits: dict[Stretch, int] = {stretch: len(stretch.before) for stretch in stretches}
    after: dict[Stretch, list[Stretch]] = {}
    for stretch in stretches:
        for other in stretch.before:
            after.setdefault(other, []).append(stretch)
            waits.setdefault(other, 0)
    ready = [stretch for stretch, count in waits.items() if not count]
    while ready:
        done = ready.pop()
        del waits[done]
        for stretch in after.get(done, ()):
            waits[stretch] -= 1
            if not waits[stretch]:
                ready.append(stretch)
    if not waits:
        return None
    seen: set[Stretch] = set()
    at = next(iter(waits))
    while at not in seen:  # what is stuck waits for something that is stuck: that leads into a circle
        seen.add(at)
        at = next(other for other in at.before if other in waits)
    return at


def _put_on_tracks(stretches: Sequence[Stretch], apart: int) -> int:
    """Each on the first track behind those that come before it, where there is room for its span."""
    waits = {stretch: len(stretch.before) for stretch in stretches}
    after: dict[Stretch, list[Stretch]] = {}
    for stretch in stretches:
        for other in stretch.before:
            after.setdefault(other, []).append(stretch)
    number = {stretch: place for place, stretch in enumerate(stretches)}
    ready = [(_turn(stretch), number[stretch]) for stretch in stretches if not waits[stretch]]
    heapify(ready)
    tracks: list[list[tuple[int, int]]] = []
    while ready:
        stretch = stretches[heappop(ready)[1]]
        low, high = stretch.span()
        stretch.track = max((other.track + 1 for other in stretch.before), default=0)
        while stretch.track < len(tracks) and any(
            low - apart < end and begin < high + apart for begin, end in tracks[stretch.track]
        ):
            stretch.track += 1
        while len(tracks) <= stretch.track:
            tracks.append([])
        tracks[stretch.track].append((low, high))
        for other in after.get(stretch, ()):
            waits[other] -= 1
            if not waits[other]:
                heappush(ready, (_turn(other), number[other]))
    return len(tracks)


def _turn(stretch: Stretch) -> tuple[int, int]:
    """Who goes to one side takes an earlier track than those behind it who go there too: then they do not cross."""
    return (0, -stretch.begin) if max(stretch.ends) > stretch.begin else (1, stretch.begin)
