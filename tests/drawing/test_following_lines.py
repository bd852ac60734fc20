"""Every edge of a drawing of characters can be followed from box to box, and nothing else can."""

from __future__ import annotations

import pytest
from fakes import a_process
from following import Drawing
from graphs import ONS, a_task, tasks, waiting
from hypothesis import HealthCheck, given, settings

from thermos.core.task import Process, Task
from thermos.drawing import picture_of
from thermos.drawing.ascii import boxes

FORMS = pytest.mark.parametrize(
    ("rightward", "plain"), [(True, False), (False, False), (True, True), (False, True)], ids=str
)


def followed_and_meant(task: Task, *, rightward: bool, plain: bool) -> None:
    """Every plan: the lines lead where the edges do."""
    picture = picture_of(task)
    for plan in picture.plans:
        lines = boxes(picture, plan, rightward=rightward, plain=plain)
        drawing = Drawing(lines, rightward=rightward, plain=plain)
        names = {number: picture.nodes[number].name for layer in plan.layers for number in layer}
        assert sorted(box.name for box in drawing.boxes) == sorted(names.values())
        meant = sorted((names[edge.before], names[edge.after], edge.label) for edge in plan.edges)
        assert drawing.edges() == meant, "\n".join(lines)


@FORMS
@given(task=tasks())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_lines_lead_where_the_edges_do(task: Task, rightward: bool, plain: bool) -> None:
    followed_and_meant(task, rightward=rightward, plain=plain)


def layered(widths: list[int], reach: int) -> Task:
    """Layers of so many processes, each after `reach` of the layer before and one of the layer before that."""
    layers: list[list[str]] = []
    processes: list[Process] = []
    for width in widths:
        names = [f"p{len(processes) + place}" for place in range(width)]
        for place, name in enumerate(names):
            near = layers[-1] if layers else []
            after = {near[(place * 7 + step * 3) % len(near)] for step in range(min(reach, len(near)))}
            if len(layers) > 1:
                after.add(layers[-2][place % len(layers[-2])])
            processes.append(a_process(name, after=tuple(sorted(after))))
        layers.append(names)
    return a_task(*processes)


LARGE = {
    "everybody after everybody before": a_task(
        *(a_process(f"p{number}", after=tuple(f"p{before}" for before in range(number))) for number in range(14))
    ),
    "a fan of 58": layered([1, 58, 1], 58),
    "60 in layers": layered([6, 10, 14, 14, 10, 6], 3),
    "a chain of 60 with short cuts": layered([1] * 60, 1),
    "all conditions at once": a_task(
        a_process("p0"),
        *(waiting(f"p{number}", p0=on) for number, on in enumerate(ONS, 1)),
        *(waiting(f"p{number + 6}", **{f"p{number}": on, "p0": "started"}) for number, on in enumerate(ONS, 1)),
    ),
}


@FORMS
@pytest.mark.parametrize("name", LARGE)
def test_lines_of_large_drawings_can_be_followed_too(name: str, rightward: bool, plain: bool) -> None:
    followed_and_meant(LARGE[name], rightward=rightward, plain=plain)
