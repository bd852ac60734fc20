"""Mermaid's flowcharts (https://mermaid.js.org/syntax/flowchart.html).

Its labels are HTML, or Markdown, or its own syntax, by what stands in them. A character written as `#NUMBER;` is only
itself, so all but letters, digits and a few others are written so.
"""

from __future__ import annotations

from . import wording
from .kind import Paper
from .picture import Node, Picture

_CLASSES = {
    "ephemeral": "stroke-dasharray: 5 5",
    "critical": "stroke-width: 4px",
}


def draw(picture: Picture, paper: Paper) -> str:
    lines = ["flowchart LR"]
    links: list[int] = []
    edges = 0
    for place, plan in enumerate(picture.plans):
        lines.append(f'  subgraph plan{place}["{escaped(wording.headline(picture, plan))}"]')
        lines += (f"    p{number}{_shape(picture.nodes[number])}" for layer in plan.layers for number in layer)
        lines.append("  end")
        critical = plan.links()
        for edge in plan.edges:
            label = escaped(wording.label_of(edge))
            arrow = f'-->|"{label}"|' if label else "-->"
            lines.append(f"  p{edge.before} {arrow} p{edge.after}")
            if (edge.before, edge.after) in critical:
                links.append(edges)
            edges += 1
    for name, style in _CLASSES.items():
        members = [f"p{node.number}" for node in picture.nodes if getattr(node, name)]
        if members:
            lines += [f"  classDef {name} {style}", f"  class {','.join(members)} {name}"]
    if links:
        lines.append(f"  linkStyle {','.join(map(str, links))} stroke-width: 4px")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    return "".join(
        character if character.isalnum() or (place and character in " -_,") else f"#{ord(character)};"
        for place, character in enumerate(text)
    )


def _shape(node: Node) -> str:
    marks = wording.marks_of(node)
    label = f'"{escaped(node.name)}' + (f"<br/>{escaped(marks)}" if marks else "") + '"'
    return f"([{label}])" if node.daemon else f"[{label}]"
