"""Follows the lines of a drawing of characters, as an eye would, and says which boxes they join."""

from __future__ import annotations

import re
from dataclasses import dataclass

UP, DOWN, LEFT, RIGHT = (0, -1), (0, 1), (-1, 0), (1, 0)
OPPOSITE = {UP: DOWN, DOWN: UP, LEFT: RIGHT, RIGHT: LEFT}
Way = tuple[int, int]
ARMS: dict[str, set[Way]] = {
    "│": {UP, DOWN},
    "─": {LEFT, RIGHT},
    "┌": {DOWN, RIGHT},
    "┐": {DOWN, LEFT},
    "└": {UP, RIGHT},
    "┘": {UP, LEFT},
    "├": {UP, DOWN, RIGHT},
    "┤": {UP, DOWN, LEFT},
    "┬": {DOWN, LEFT, RIGHT},
    "┴": {UP, LEFT, RIGHT},
    "┼": {UP, DOWN, LEFT, RIGHT},
}
HEADS = {"▼": DOWN, "▶": RIGHT, "v": DOWN, ">": RIGHT}
SIDES, ENDS = "│┃|#", "─━-=┬┯+"


@dataclass(frozen=True)
class Box:
    name: str
    left: int
    top: int
    right: int
    bottom: int

    def holds(self, x: int, y: int) -> bool:
        return self.left <= x <= self.right and self.top <= y <= self.bottom


class Drawing:
    """Lines of characters, every one a column wide. The names of processes are p0, p1, ..."""

    def __init__(self, lines: list[str], *, rightward: bool, plain: bool) -> None:
        self.lines = lines
        self.rightward = rightward
        self.plain = plain
        names = [(match[0], match.start(), y) for y, line in enumerate(lines) for match in re.finditer(r"\bp\d+", line)]
        self.boxes = [self._box(*found) for found in names]
        self.walked: set[tuple[int, int]] = set()

    def at(self, x: int, y: int) -> str:
        return self.lines[y][x] if 0 <= y < len(self.lines) and 0 <= x < len(self.lines[y]) else " "

    def edges(self) -> list[tuple[str, str, str]]:
        """(from, to, label) for each line that can be followed, sorted. Every character must be part of something."""
        found: list[tuple[str, str, str]] = []
        for box in self.boxes:
            if self.rightward:
                ports = [(box.right, y) for y in range(box.top + 1, box.bottom) if self.at(box.right, y) in "├┠+"]
            else:
                ports = [(x, box.bottom) for x in range(box.left + 1, box.right) if self.at(x, box.bottom) in "┬┯+"]
            for x, y in ports:
                found += ((box.name, to, label) for to, label in self._follow(x, y))
        for y, line in enumerate(self.lines):
            for x, character in enumerate(line):
                known = character == " " or (x, y) in self.walked or any(box.holds(x, y) for box in self.boxes)
                assert known, f"{character!r} at {x}, {y} belongs to nothing"
        return sorted(found)

    def _box(self, name: str, x: int, y: int) -> Box:
        left, right, top, bottom = x, x, y, y
        while self.at(left, y) not in SIDES:
            left -= 1
        while self.at(right, y) not in SIDES + "├┠+":
            right += 1
        while self.at(left + 1, top) not in ENDS:
            top -= 1
        while self.at(left + 1, bottom) not in ENDS:
            bottom += 1
        return Box(name, left, top, right, bottom)

    def _follow(self, x: int, y: int) -> list[tuple[str, str]]:
        way = RIGHT if self.rightward else DOWN
        x, y = x + way[0], y + way[1]
        label = ""
        if not self._is_line(self.at(x, y)):
            label, x, y = self._label(x, y)
        reached: list[tuple[str, str]] = []
        left = [(x, y, way)]
        seen: set[tuple[int, int, Way]] = set()
        while left:
            here = left.pop()
            assert here not in seen, "a line leads back to itself"
            seen.add(here)
            x, y, way = here
            self.walked.add((x, y))
            if HEADS.get(self.at(x, y)) == way:
                reached.append((self._box_at(x + way[0], y + way[1]), label))
                continue
            left += ((x + onward[0], y + onward[1], onward) for onward in self._onward(x, y, way))
        return reached

    def _is_line(self, character: str) -> bool:
        return character in ("|-+" if self.plain else ARMS) or character in "▼▶"

    def _label(self, x: int, y: int) -> tuple[str, int, int]:
        """The word over a line's beginning, and where the line goes on."""
        start = x
        while not self.rightward and self.at(start - 1, y) != " ":
            start -= 1
        end = start
        while self.at(end, y) != " " and not self._is_line(self.at(end, y)):
            self.walked.add((end, y))
            end += 1
        label = self.lines[y][start:end]
        return (label, end, y) if self.rightward else (label, x, y + 1)

    def _onward(self, x: int, y: int, way: Way) -> list[Way]:
        arms = self._plain_arms(x, y) if self.plain else ARMS[self.at(x, y)]
        assert OPPOSITE[way] in arms, f"the line breaks off at {x}, {y}"
        return [way] if len(arms) == 4 else [arm for arm in arms if arm != OPPOSITE[way]]

    def _plain_arms(self, x: int, y: int) -> set[Way]:
        """Of a "+" those sides where a line goes on; what goes across a "|" passes below it."""
        character = self.at(x, y)
        if character == "|":
            across = self.at(x - 1, y) == "-" and self.at(x + 1, y) == "-"
            return {UP, DOWN, LEFT, RIGHT} if across else {UP, DOWN}
        if character == "-":
            return {LEFT, RIGHT}
        assert character == "+", f"the line breaks off at {x}, {y}: {character!r}"
        arms = {UP: "|", DOWN: "|v", LEFT: "-", RIGHT: "->"}
        return {(dx, dy) for (dx, dy), lines in arms.items() if self.at(x + dx, y + dy) in lines}

    def _box_at(self, x: int, y: int) -> str:
        (name,) = [box.name for box in self.boxes if box.holds(x, y)]
        return name
