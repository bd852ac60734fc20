"""Whole files: good ones and what they mean, bad ones and the exact messages they deserve."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running import HERE, ROOT, dialect_of, document, dumped, task_of

from thermos.formats import TaskFileError
from thermos.formats.aurora import load
from thermos.formats.aurora.choice import Choice

FILES = HERE / "files"
BAD = HERE / "bad"

#: File, --job, and where what it means is written.
GOOD = [
    ("hello_world.aurora", None, "hello_world"),
    ("http_example.aurora", "http_example", "http_example-http_example"),
    ("http_example.aurora", "http_example_shell", "http_example-http_example_shell"),
    ("docker.aurora", "hello_docker", "docker-hello_docker"),
    ("docker.aurora", "hello_old", "docker-hello_old"),
    ("docker.aurora", "hello_mesos", "docker-hello_mesos"),
    ("build.thermos", None, "build"),
    ("family.aurora", "east/services/prod/api", "family-east-services-prod-api"),
    ("family.aurora", "west/services/devel/api", "family-west-services-devel-api"),
    ("python2.aurora", None, "python2"),
]


@pytest.mark.parametrize(("name", "job", "golden"), GOOD, ids=[golden for *_, golden in GOOD])
def test_a_good_file_means_the_same_as_ever(
    name: str, job: str | None, golden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CF-13 (containers), CF-15 (every field of a job with its default, in hello_world), CL-1."""
    monkeypatch.chdir(HERE)
    file = Path("files") / name
    found = load(str(file), file.read_text(), dialect_of(file), {}, Choice(job=job))
    assert dumped(found) == (FILES / f"{golden}.json").read_text()
    assert task_of(found)["processes"]  # thermos.config has nothing against it


@pytest.mark.parametrize(
    "name", sorted(path.name for path in BAD.glob("*.*") if path.with_name(path.name + ".txt").exists())
)
def test_a_bad_file_gets_all_its_messages_with_line_and_column(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CF-8, CF-11, CF-12, CF-16, CL-2."""
    monkeypatch.chdir(BAD)
    with pytest.raises(TaskFileError) as caught:
        document(Path(name).read_text(), dialect_of(Path(name)), file=name)
    assert str(caught.value) + "\n" == Path(name + ".txt").read_text()
    for problem in caught.value.problems:
        assert problem.message.startswith("cannot ")


def test_a_file_in_its_own_words_runs_as_ours(tmp_path: Path) -> None:
    """E2E-2 as far as one host goes: names of a port are one number, and what is bound reaches the commands."""
    text = (
        "say = Process(name='say',\n"
        "  cmdline='echo {{greeting}} {{&literal}} {{thermos.ports[www]}} {{thermos.ports[http]}}')\n"
        "last = Process(name='last', cmdline='echo over', final=True)\n"
        "task = Task(name='t', processes=[say, last], resources=Resources(cpu=0.1, ram=64*MB, disk=MB))\n"
        "jobs = [Job(cluster='c', role='nobody', environment='e', announce=Announcer(portmap={'www': 'http'}),\n"
        "            task=task).bind(greeting='hello')]\n"
    )
    found = document(text, "aurora")
    file = tmp_path / "task.json"
    file.write_text(json.dumps({name: value for name, value in dict(found.value).items() if name != "user"}))
    command = [
        sys.executable,
        "-c",
        "from thermos.cli import main; main()",
        "run",
        "--root",
        str(tmp_path / "root"),
        "--isolation",
        "none",
    ]
    done = subprocess.run(
        [*command, "--task-id", "id", str(file)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    logs = tmp_path / "root" / "tasks" / "id" / "sandbox" / ".logs"
    greeting, literal, www, http = (logs / "say" / "0" / "stdout").read_text().split()
    assert (greeting, literal) == ("hello", "{{literal}}")
    assert www == http
    assert www.isdigit()
    assert (logs / "last" / "0" / "stdout").read_text() == "over\n"


def test_what_thermos_config_finds_is_placed_where_the_file_says_it() -> None:
    text = (
        "def p(name, **more):\n"
        "  return Process(name=name, cmdline='true', **more)\n"
        "a = Process(name='a', cmdline='x', max_failures=-3)\n"
        "b = a(name='b',\n"
        "      min_duration=-1)\n"
        "export(Task(name='.hidden', processes=[a, b, p('c', max_failures=-2)], constraints=order('c', 'nobody'),\n"
        "            finalization_wait=-5))\n"
    )
    with pytest.raises(TaskFileError) as caught:
        task_of(document(text, file="t.thermos"), "t.thermos")
    places = {(problem.path, problem.line, problem.column) for problem in caught.value.problems}
    assert places == {
        ("processes[0].max_failures", 3, 49),
        ("processes[1].max_failures", 3, 49),  # a copy keeps what it does not change
        ("processes[1].min_duration", 5, 20),
        ("processes[2].max_failures", 2, 10),
        ("name", 6, 18),
        ("constraints[0].order[1]", 6, 84),
        ("finalization_wait", 7, 31),
    }


def test_what_an_included_file_made_is_placed_where_the_file_itself_led_there(tmp_path: Path) -> None:
    (tmp_path / "parts.thermos").write_text("\n\np = Process(name='a', cmdline='b', max_failures=-1)\n")
    text = "x = 1\ninclude('parts.thermos')\nexport(Task(processes=[p]))\n"
    file = str(tmp_path / "t.thermos")
    with pytest.raises(TaskFileError) as caught:
        task_of(document(text, file=file), file)
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [("processes[0].max_failures", 2)]


def test_columns_count_characters_and_not_bytes() -> None:
    with pytest.raises(TaskFileError) as caught:
        document("é = 'ü'; ö = Prozess()\n")
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(1, 14)]


def test_the_process_that_reads_a_file_never_imports_pystachio_nor_the_file() -> None:
    code = (
        "import sys\n"
        "from thermos.formats.aurora import load\n"
        "from thermos.formats.aurora.choice import Choice\n"
        "found = load('t', 'import configparser\\nexport(SimpleTask(\"a\", \"b\"))', 'thermos', {}, Choice())\n"
        "assert found.value['name'] == 'a'\n"
        "wrong = [name for name in sys.modules if 'pystachio' in name or 'lib2to3' in name or name == 'configparser']\n"
        "sys.exit(repr(wrong) if wrong else 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("module", ["choice", "ports", "document"])
def test_what_everybody_imports_is_light(module: str) -> None:
    package = "thermos.formats" if module == "document" else "thermos.formats.aurora"
    heavy = {"subprocess", "json", "typing", "dataclasses", "signal", "pystachio", "selectors"}
    code = (
        f"import sys\nimport {package}.{module}\nimport thermos.formats.aurora\n"
        f"wrong = {heavy!r} & set(sys.modules)\nsys.exit(repr(wrong) if wrong else 0)\n"
    )
    roots = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    subprocess.run([sys.executable, "-I", "-S", "-c", roots + code], check=True)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.aurora")) + sorted((ROOT / "examples").glob("*.thermos")), ids=str
)
def test_an_example_is_a_good_file_that_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    jobs = ["devel/hello"] if path.suffix == ".aurora" and "devel/hello" in text else [None]
    for job in jobs:
        assert task_of(load(str(path), text, dialect_of(path), {}, Choice(job=job)), str(path))["processes"]
