"""`thermos graph`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from task_directories import Cli, process

from thermos.core import records as r

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDCOUNT = str(EXAMPLES / "wordcount.yaml")
FAILING = str(EXAMPLES / "failing.yaml")
PROGRAM = [sys.executable, "-c", "import sys; from thermos.cli import main; sys.exit(main())"]


def test_both_plans_are_drawn_with_their_longest_chains(cli: Cli) -> None:
    status, out, err = cli.run("graph", FAILING)
    assert (status, err) == (0, "")
    assert "flaky ┠───▶┃ migrate ┠───▶┃ report" in out
    assert out.index("regular: 3 processes in 3 layers") < out.index("final: 1 process\n")
    assert "longest chain: flaky → migrate → report; 3 steps\n" in out
    assert "┃ cleanup ┃" in out


def test_json_has_nodes_edges_layers_and_the_longest_chain(cli: Cli) -> None:
    status, out, _ = cli.run("graph", WORDCOUNT, "--json")
    graph = json.loads(out)
    assert status == 0
    assert graph["layers"][:3] == [["gather"], ["split"], ["count-0", "count-1", "count-2", "count-3"]]
    assert {"from": "gather", "to": "split", "on": "succeeded", "pattern": None} in graph["edges"]
    assert [node["name"] for node in graph["nodes"] if node["daemon"]] == ["serve"]
    assert graph["critical_path"] == ["gather", "split", "count-0", "reduce", "fetch", "archive"]
    assert (graph["total"], graph["unit"]) == (6, "steps")
    totals = [(plan["plan"], plan["width"], plan["total"]) for plan in graph["plans"]]
    assert totals == [("regular", 4, 5), ("final", 1, 1)]


def test_durations_decide_which_chain_is_the_longest(cli: Cli) -> None:
    words = ["--durations", "count-2=1m", "--durations", "fetch=500ms"]
    graph = json.loads(cli.run("graph", WORDCOUNT, "--json", *words)[1])
    assert graph["critical_path"] == ["gather", "split", "count-2", "reduce", "fetch", "archive"]
    assert (graph["total"], graph["unit"]) == (60.5, "seconds")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("gahter=1", "there is no process 'gahter'"),
        ("gather=soon", "'soon' is not a number of seconds (30, 1.5, 30s, 2m, 1h)"),
        ("gather", "it should be NAME=SECONDS"),
    ],
)
def test_a_duration_that_makes_no_sense_is_wrong_usage(cli: Cli, text: str, why: str) -> None:
    assert cli.run("graph", WORDCOUNT, "--durations", text) == (2, "", f"cannot use --durations {text}: {why}\n")


def test_timings_are_those_of_the_last_successful_runs_of_an_earlier_task(cli: Cli) -> None:
    task = cli.task("earlier", process("flaky", max_failures=3), "migrate", "another")
    task.activate()
    for run, (seconds, code) in enumerate([(2.5, 1), (1.0, 0)]):
        begin = 1764000100.0 + 20 * run
        task.write(r.Launched(at=begin, cause=2, process=0, run=run))
        task.write(r.Started(at=begin, process=0, run=run, pid=7, ticks=1))
        task.write(r.Exited(at=begin + seconds, process=0, run=run, source="waited", code=code))
    task.start(1)
    task.write(r.Exited(at=1764000006.5, process=1, run=0, source="waited", code=0))
    graph = json.loads(cli.run("graph", FAILING, "--json", "--timings", "earlier", "--durations", "cleanup=1s")[1])
    assert {node["name"]: node["seconds"] for node in graph["nodes"]} == {
        "flaky": 1.0,
        "migrate": 4.0,
        "report": None,
        "cleanup": 1.0,
    }
    assert graph["total"] == 6.0
    words = cli.run("graph", FAILING, "--timings", "earlier")[1]
    assert "no duration is known of report, cleanup, which count nothing\n" in words


def test_timings_of_a_task_that_is_not_there_or_has_none(cli: Cli) -> None:
    cli.task("new")
    status, _, err = cli.run("graph", FAILING, "--timings", "nobody")
    assert (status, err) == (1, f"cannot find task nobody under {cli.root}; `thermos status` lists what is there\n")
    status, _, err = cli.run("graph", FAILING, "--timings", "new")
    assert (status, err) == (1, "cannot take timings from new: no process of it has succeeded\n")


def test_a_drawing_is_written_where_output_says(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "graph.svg"
    assert cli.run("graph", WORDCOUNT, "--format", "svg", "--output", str(path)) == (0, "", "")
    assert ET.fromstring(path.read_text()).tag == "{http://www.w3.org/2000/svg}svg"
    nowhere = str(tmp_path / "nowhere" / "graph.svg")
    status, _, err = cli.run("graph", WORDCOUNT, "--output", nowhere)
    assert (status, err) == (1, f"cannot write {nowhere}: No such file or directory\n")


@pytest.mark.parametrize(
    ("form", "begin"), [("dot", 'digraph "wordcount" {'), ("mermaid", "flowchart LR"), ("svg", "<svg")]
)
def test_standard_output_holds_the_drawing_alone(cli: Cli, form: str, begin: str) -> None:
    status, out, err = cli.run("graph", WORDCOUNT, "--format", form)
    assert (status, err) == (0, "")
    assert out.startswith(begin)


@pytest.mark.parametrize(
    "changes", [{"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"}], ids=["locale", "encoding"]
)
def test_where_boxes_cannot_be_shown_it_is_ascii(changes: dict[str, str]) -> None:
    done = subprocess.run(
        [*PROGRAM, "graph", WORDCOUNT], env={**os.environ, **changes}, capture_output=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert b"# gather +--->" in done.stdout


@pytest.mark.parametrize(("columns", "sign"), [(200, "▶"), (70, "▼"), (20, "layer 3: 4 processes")])
def test_a_drawing_is_made_for_the_width_of_the_terminal(columns: int, sign: str) -> None:
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "cols", str(columns), "rows", "50"], stdin=theirs, check=True)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    child = subprocess.Popen([*PROGRAM, "graph", WORDCOUNT], env=environment, stdin=theirs, stdout=theirs)
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert child.wait(30) == 0
    drawn = seen.decode()
    assert sign in drawn
    boxes = [line for line in drawn.splitlines() if set(line.strip()) & set("┏┗┌└")]
    assert all(len(line) <= columns for line in boxes)


def test_an_invalid_file_is_refused_with_every_error(cli: Cli) -> None:
    bad = str(Path(__file__).parents[1] / "bad" / "units.yaml")
    status, out, err = cli.run("graph", bad)
    assert (status, out) == (65, "")
    assert err == cli.run("validate", bad)[2]
