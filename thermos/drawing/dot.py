"""Graphviz's language (https://graphviz.org/doc/info/lang.html).

In a quoted text a quote takes a backslash; in a label a backslash begins an escape and "&" an entity as in HTML.
"""

from __future__ import annotations

from . import wording
from .kind import Paper
from .picture import Node, Picture


def draw(picture: Picture, paper: Paper) -> str:
    lines = [
        f"digraph {quoted(picture.name)} {{",
        "  rankdir=LR;",
        '  node [shape=box, fontname="monospace"];',
        '  edge [fontname="monospace"];',
    ]
    for place, plan in enumerate(picture.plans):
        lines += [f"  subgraph cluster_{place} {{", f"    label={quoted(wording.headline(picture, plan))};"]
        lines += (f"    p{number} [{_attributes(picture.nodes[number])}];" for layer in plan.layers for number in layer)
        lines.append("  }")
        links = plan.links()
        for edge in plan.edges:
            label = wording.label_of(edge)
            attributes = [f"label={quoted(label)}"] if label else []
            attributes += ["penwidth=3"] if (edge.before, edge.after) in links else []
            lines.append(f"  p{edge.before} -> p{edge.after}" + (f" [{', '.join(attributes)}];" if attributes else ";"))
    return "\n".join([*lines, "}"]) + "\n"


def quoted(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _attributes(node: Node) -> str:
    marks = wording.marks_of(node)
    label = quoted(node.name)
    if marks:
        label = f"{label[:-1]}\\n{quoted(marks)[1:]}"
    attributes = [f"label={label}"]
    attributes += ["peripheries=2"] if node.daemon else []
    attributes += ["style=dashed"] if node.ephemeral else []
    attributes += ["penwidth=3"] if node.critical else []
    return ", ".join(attributes)
