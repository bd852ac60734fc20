"""The image as a real browser shows it: nothing outside, nothing over anything else, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import a_process
from graphs import a_task, chained, waiting
from playwright.sync_api import Browser, sync_playwright

from thermos.core.task import Task
from thermos.drawing import FORMATS, Paper, picture_of

pytestmark = pytest.mark.browser

WIDE = a_task(
    a_process("first"),
    *(a_process(f"mapper-{number}", after=("first",)) for number in range(12)),
    a_process("reduce", after=tuple(f"mapper-{number}" for number in range(12))),
    waiting("report", reduce="started", first="succeeded"),
    waiting("alarm", reduce="failed", first="log"),
    a_process("bye", final=True),
)
DEEP = a_task(*chained(*(f"step {number}" for number in range(14)), daemon=False))
WILD = a_task(
    *chained("a" * 200, "중국어 이름 中文名字", "שלום עולם", "<b>&amp;</b>", "i", "WWWWWWWWWWWWWWWW", ephemeral=True),
    a_process("alone", daemon=True),
)

MEASURE = """() => {
  const box = element => {
    const {x, y, width, height} = element.getBoundingClientRect();
    return [x, y, width, height];
  };
  const all = selector => [...document.querySelectorAll(selector)].map(box);
  const groups = [...document.querySelectorAll('g > g')];
  return {
    page: box(document.documentElement),
    everything: all('svg *:not(title):not(desc):not(style)'),
    groups: groups.map(g => ({box: box(g.querySelector('rect')), texts: [...g.querySelectorAll('text')].map(box)})),
    labels: all('.label'),
    headings: all('.heading'),
    ink: getComputedStyle(document.querySelector('text')).fill,
    paper: getComputedStyle(document.querySelector('.paper')).fill,
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()


def measured(browser: Browser, tmp_path: Path, task: Task, scheme: Any = "light") -> dict[str, Any]:
    path = tmp_path / "graph.svg"
    path.write_text(FORMATS["svg"](picture_of(task, {"first": 2.0}), Paper()), encoding="utf-8")
    page = browser.new_page(color_scheme=scheme)
    page.goto(path.as_uri())
    found: dict[str, Any] = page.evaluate(MEASURE)
    page.close()
    return found


Area = list[float]


def inside(inner: Area, outer: Area) -> bool:
    return (
        inner[0] >= outer[0] - 0.5
        and inner[1] >= outer[1] - 0.5
        and inner[0] + inner[2] <= outer[0] + outer[2] + 0.5
        and inner[1] + inner[3] <= outer[1] + outer[3] + 0.5
    )


def overlap(one: Area, other: Area) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


@pytest.mark.parametrize("task", [WIDE, DEEP, WILD], ids=["wide", "deep", "wild"])
def test_everything_is_in_its_place(browser: Browser, tmp_path: Path, task: Task) -> None:
    found = measured(browser, tmp_path, task)
    assert all(inside(area, found["page"]) for area in found["everything"])
    assert len(found["groups"]) == len(task.processes)
    boxes = [group["box"] for group in found["groups"]]
    for group in found["groups"]:
        assert group["texts"]
        assert all(inside(text, group["box"]) for text in group["texts"])
    areas = [*boxes, *found["labels"], *found["headings"]]
    assert len(found["labels"]) == sum(len(process.conditions) for process in task.processes)
    for place, area in enumerate(areas):
        assert not any(overlap(area, other) for other in areas[place + 1 :])


def test_it_is_light_or_dark_as_the_reader_likes(browser: Browser, tmp_path: Path) -> None:
    light, dark = (measured(browser, tmp_path, DEEP, scheme) for scheme in ("light", "dark"))
    assert (light["paper"], light["ink"]) == ("rgb(255, 255, 255)", "rgb(31, 35, 40)")
    assert (dark["paper"], dark["ink"]) == ("rgb(13, 17, 23)", "rgb(230, 237, 243)")
