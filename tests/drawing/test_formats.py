"""Whatever a process is called, a drawing is well formed and shows it so."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from html import unescape

import msgspec
import pytest
from fakes import a_process
from graphs import a_task, chained, legal_names, tasks, waiting
from hypothesis import HealthCheck, example, given, settings

from thermos.core.task import Task
from thermos.drawing import FORMATS, Paper, Picture, TooLarge, picture_of, wording
from thermos.drawing.ascii import boxes
from thermos.drawing.columns import pieces, width

ANY = Paper()
OFTEN = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
WILD = a_task(*chained('say "no"', "</title><script>alert(1)</script>", "a\\", "&amp; #35; %", "`x` {{y}} |z|", "שלום"))


def drawn(picture: Picture, form: str) -> str:
    return FORMATS[form](picture, ANY)


def names_of(picture: Picture) -> list[str]:
    return [node.name for node in picture.nodes]


def joined(picture: Picture) -> list[tuple[int, int]]:
    return sorted((edge.before, edge.after) for edge in picture.edges)


def dot_text(quoted: str) -> str:
    """What a quoted label of Graphviz shows: escapes, then entities."""
    inner = re.fullmatch(r'"((?:[^"\\]|\\["\\n])*)"', quoted)
    assert inner, quoted
    return unescape(re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], inner[1]))


DOT_TEXT = r'"(?:[^"\\]|\\.)*"'
DOT_NODE = rf"    p(\d+) \[label=({DOT_TEXT})(?:, (?:peripheries=2|style=dashed|penwidth=3))*\];"
DOT_EDGE = rf"  p(\d+) -> p(\d+)(?: \[(?:label={DOT_TEXT})?(?:(?:, )?penwidth=3)?\])?;"
DOT_OTHER = rf"digraph {DOT_TEXT} {{|  subgraph cluster_\d {{|    label={DOT_TEXT};|  }}|}}"
DOT_USUAL = ["  rankdir=LR;", '  node [shape=box, fontname="monospace"];', '  edge [fontname="monospace"];']


@given(task=tasks(names=legal_names))
@example(task=WILD)
@OFTEN
def test_dot_is_made_of_nodes_and_edges_and_nothing_else(task: Task) -> None:
    picture = picture_of(task)
    nodes: dict[int, str] = {}
    edges: list[tuple[int, int]] = []
    for line in drawn(picture, "dot").removesuffix("\n").split("\n"):
        if node := re.fullmatch(DOT_NODE, line):
            nodes[int(node[1])] = dot_text(node[2]).split("\n")[0]
        elif edge := re.fullmatch(DOT_EDGE, line):
            edges.append((int(edge[1]), int(edge[2])))
        else:
            assert re.fullmatch(DOT_OTHER, line) or line in DOT_USUAL, line
    assert [nodes[number] for number in range(len(nodes))] == names_of(picture)
    assert sorted(edges) == joined(picture)


@pytest.mark.skipif(not shutil.which("dot"), reason="needs graphviz: apt-get install graphviz")
def test_graphviz_shows_the_names_as_they_are() -> None:
    picture = picture_of(WILD)
    done = subprocess.run(["dot", "-Tsvg"], input=drawn(picture, "dot"), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    image = ET.fromstring(done.stdout)
    texts = [text.text for text in image.iter("{http://www.w3.org/2000/svg}text")]
    assert set(names_of(picture)) <= set(texts)


MERMAID_TEXT = r'"((?:[^\W_]|[ \-_,]|#\d+;|<br/>)*)"'
MERMAID_NODE = rf"    p(\d+)(?:\[{MERMAID_TEXT}\]|\(\[{MERMAID_TEXT}\]\))"
MERMAID_EDGE = rf"  p(\d+) -->(?:\|{MERMAID_TEXT}\|)? p(\d+)"
MERMAID_OTHER = (
    rf"flowchart LR|  subgraph plan\d\[{MERMAID_TEXT}\]|  end|  classDef \w+ [\w\-: ]+|  class p\d+(,p\d+)* \w+"
    r"|  linkStyle \d+(,\d+)* stroke-width: 4px"
)


@given(task=tasks(names=legal_names))
@example(task=WILD)
@OFTEN
def test_mermaid_is_made_of_nodes_and_edges_and_nothing_else(task: Task) -> None:
    picture = picture_of(task)
    nodes: dict[int, str] = {}
    edges: list[tuple[int, int]] = []
    for line in drawn(picture, "mermaid").removesuffix("\n").split("\n"):
        if node := re.fullmatch(MERMAID_NODE, line):
            text = (node[2] if node[2] is not None else node[3]).split("<br/>")[0]
            nodes[int(node[1])] = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)
        elif edge := re.fullmatch(MERMAID_EDGE, line):
            edges.append((int(edge[1]), int(edge[3])))
        else:
            assert re.fullmatch(MERMAID_OTHER, line), line
    assert [nodes[number] for number in range(len(nodes))] == names_of(picture)
    assert sorted(edges) == joined(picture)


SVG = "{http://www.w3.org/2000/svg}"


@given(task=tasks(names=legal_names))
@example(task=WILD)
@OFTEN
def test_svg_is_xml_and_holds_no_scripts_and_nothing_from_elsewhere(task: Task) -> None:
    picture = picture_of(task)
    image = ET.fromstring(drawn(picture, "svg"))
    tags = {element.tag.removeprefix(SVG) for element in image.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "path", "g", "text"}
    assert not [name for element in image.iter() for name in element.attrib if name.startswith("on") or "href" in name]
    titles = [title.text for title in image.iter(f"{SVG}title")]
    assert titles[0] == f"The processes of {picture.name}"
    assert sorted(titles[1:], key=str) == sorted(names_of(picture))
    assert image.find(f"{SVG}desc") is not None


def terminal(row: str) -> list[str]:
    """What stands in each column; the second one of a wide character is empty."""
    cells: list[str] = []
    for piece, columns in pieces(row):
        cells += [piece, *[""] * (columns - 1)]
    return cells


@given(task=tasks(names=legal_names))
@example(task=WILD)
@OFTEN
def test_names_change_nothing_in_a_drawing_of_characters_but_the_columns_they_fill(task: Task) -> None:
    picture = picture_of(task)
    letters = tuple(msgspec.structs.replace(node, name="x" * width(wording.name_of(node))) for node in picture.nodes)
    tame = msgspec.structs.replace(picture, nodes=letters)
    for plan in picture.plans:
        for rightward in (False, True):
            rows = boxes(picture, plan, rightward=rightward, plain=False)
            wanted = boxes(tame, plan, rightward=rightward, plain=False)
            for row, plain_row in zip(rows, wanted, strict=True):
                cells = terminal(row)
                cells += [" "] * (len(plain_row) - len(cells))
                for cell, letter in zip(cells, plain_row, strict=True):
                    assert letter == "x" or cell[:1] == letter, (row, plain_row)


@given(task=tasks(names=legal_names))
@example(task=WILD)
@OFTEN
def test_where_only_ascii_can_be_shown_there_is_nothing_else(task: Task) -> None:
    assert drawn_on(picture_of(task), Paper(None, plain=True)).isascii()


def drawn_on(picture: Picture, paper: Paper) -> str:
    return FORMATS["ascii"](picture, paper)


def test_what_is_too_wide_for_a_terminal_or_too_much_for_an_eye_is_a_list() -> None:
    picture = picture_of(a_task(*chained("first", "second", "third"), max_concurrency=1))
    assert "┏" in drawn_on(picture, Paper(40))
    assert "▼" in drawn_on(picture, Paper(20))
    assert "layer 2: 1 process\n  second, after first\n" in drawn_on(picture, Paper(8))
    many = [a_process(f"p{number}") for number in range(61)]
    listed = drawn_on(picture_of(a_task(*many, a_process("end", after=tuple(p.name for p in many)))), ANY)
    assert "layer 1: 61 processes" in listed
    assert "  end, after p0, p1, p2, p3 and 57 more" in listed


def test_labels_marks_and_durations_are_in_every_format() -> None:
    processes = (
        a_process("db", daemon=True),
        waiting("web", db="healthy"),
        a_process("sidecar", daemon=True, ephemeral=True),
        a_process("bye", final=True),
    )
    picture = picture_of(a_task(*processes), {"web": 2.5})
    for form in FORMATS:
        text = drawn(picture, form)
        for word in ("healthy", "daemon, ephemeral" if form != "svg" else "daemon", "2.5s", "final"):
            assert word in unescape(text).replace("#46;", "."), (form, word)


def test_what_has_too_many_bends_is_refused_as_an_image_and_a_list_for_people() -> None:
    names = [f"p{number}" for number in range(400)]
    processes = [a_process(name, after=tuple(names[max(0, place - 90) : place])) for place, name in enumerate(names)]
    picture = picture_of(a_task(*processes))
    with pytest.raises(TooLarge, match="its edges would have more than 20000 bends"):
        drawn(picture, "svg")
    assert "layer 400: 1 process" in drawn(picture, "ascii")
