"""What is said beside a drawing, the same in every format that has room for words."""

from __future__ import annotations

from collections.abc import Iterator

from .columns import isolated, shortened, visible
from .picture import Edge, Node, Picture, Plan

_LONGEST_NAME = 32  # columns
_LONGEST_PATTERN = 40
_NAMED = 10


def name_of(node: Node) -> str:
    return isolated(shortened(visible(node.name), _LONGEST_NAME))


def marks_of(node: Node) -> str:
    """What is unusual about a process and how long it takes, or nothing."""
    return ", ".join((*node.marks, *([] if node.seconds is None else [seconds(node.seconds)])))


def total(picture: Picture, plan: Plan) -> str:
    return seconds(plan.total) if picture.timed else count(len(plan.critical), "step", "steps")


def label_of(edge: Edge) -> str:
    """A condition in full; nothing for success."""
    return f"log {_pattern(edge.pattern)}" if edge.on == "log" else edge.label


def _pattern(pattern: str) -> str:
    """On one line, and harmless: unlike a name it may hold anything."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in pattern)
    return f"/{isolated(shortened(visible(shown), _LONGEST_PATTERN))}/"


def seconds(number: float) -> str:
    """0.25s, 12.5s, 340s: three digits that matter."""
    return f"{number:.3g}s" if number < 1000 else f"{number:.0f}s"


def count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def headline(picture: Picture, plan: Plan) -> str:
    """`regular: 9 processes in 5 layers, 4 in the widest; max_concurrency lets 3 run at a time`."""
    size = sum(map(len, plan.layers))
    text = f"{plan.name}: {count(size, 'process', 'processes')}"
    if size > 1:
        text += f" in {count(len(plan.layers), 'layer', 'layers')}, {plan.width} in the widest"
    if 0 < picture.max_concurrency < plan.width:
        text += f"; max_concurrency lets {picture.max_concurrency} run at a time"
    return text


def chain(picture: Picture, plan: Plan, arrow: str) -> str:
    """`longest chain: gather -> split, 2 steps`, or with seconds where they are known."""
    named: list[str] = []
    for number in plan.critical:
        node = picture.nodes[number]
        named.append(name_of(node) + (f" {seconds(node.seconds)}" if node.seconds is not None else ""))
    if len(named) > 3 * _NAMED:
        named[2 * _NAMED : -_NAMED] = [f"... {len(named) - 3 * _NAMED} more ..."]
    return f"longest chain: {f' {arrow} '.join(named)}; {total(picture, plan)}"


def notes(picture: Picture) -> Iterator[str]:
    """What labels stand for, and what the durations leave out."""
    for label, name, pattern in picture.patterns:
        yield f"{label}: a line of {isolated(shortened(visible(name), _LONGEST_NAME))} that matches {_pattern(pattern)}"
    unknown = [name_of(node) for node in picture.nodes if node.seconds is None]
    if picture.timed and unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        verb = "counts" if len(unknown) == 1 else "count"
        yield f"no duration is known of {', '.join(unknown[:_NAMED])}{more}, which {verb} nothing"
    if picture.timed and len(picture.plans) > 1:
        yield f"both chains together: {seconds(picture.total)}"
