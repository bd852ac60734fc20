"""Every file in examples/, run by the real program and judged by what it left behind."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until

from sandbox.cgroups import tree

THERMOS = Path(sys.executable).with_name("thermos")
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
DEADLINE = 120  # seconds for one command: far more than any needs, also on a busy machine


class Host:
    """A root directory of its own, and the program."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, name: str, *words: str) -> list[str]:
        return [str(THERMOS), name, "--root", str(self.root), *words]

    def thermos(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(name, *words), capture_output=True, text=True, timeout=DEADLINE, check=False)

    def run(self, example: str, task_id: str, *words: str) -> int:
        done = self.thermos("run", "--task-id", task_id, *words, str(EXAMPLES / example))
        print(done.stdout, done.stderr)
        return done.returncode

    def status(self, task_id: str) -> dict[str, Any]:
        tasks: list[dict[str, Any]] = json.loads(self.thermos("status", "--json", task_id).stdout)
        assert len(tasks) == 1
        return tasks[0]

    def journal(self, task_id: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.thermos("read", "--json", task_id).stdout.splitlines()]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path / "root")
    yield host
    for task in json.loads(host.thermos("status", "--json").stdout or "[]"):
        if task["ended_at"] is None:
            host.thermos("kill", "--now", task["task_id"])


def processes(task: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {process["name"]: process for process in task["processes"]}


def stages(journal: list[dict[str, Any]]) -> list[str]:
    return [record["stage"] for record in journal if record["type"] == "stage"]


def exits(process: dict[str, Any]) -> list[tuple[int | None, str | None]]:
    return [(run["exit"]["code"], run["exit"]["signal"]) for run in process["runs"]]


def log(task: dict[str, Any], process: str, run: int, stream: str) -> str:
    return Path(task["sandbox"], ".logs", process, str(run), stream).read_text()


def test_every_example_has_a_test() -> None:
    here = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.iterdir() if f'"{path.name}"' not in here] == []


def test_hello_says_who_it_is(host: Host) -> None:
    assert host.run("hello.yaml", "hello-1") == 0
    task = host.status("hello-1")
    assert task["state"] == "SUCCESS"
    assert log(task, "hello", 0, "stdout") == "hello from task hello-1, process hello, run 0\n"
    assert stages(host.journal("hello-1")) == ["ACTIVE", "CLEANING", "FINALIZING", "SUCCESS"]


def words_of_the_library() -> bytes:
    """What words.txt must hold: every word with its count, the most frequent first."""
    ask = ["/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]
    library = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    counts: Counter[bytes] = Counter()
    for path in library.rglob("*.py"):
        if path.is_file() and not path.is_symlink():
            counts.update(re.findall(rb"[A-Za-z_]+", path.read_bytes()))
    return b"".join(b"%d %s\n" % (n, word) for word, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@pytest.fixture(params=[pytest.param("strict", marks=pytest.mark.root), "best-effort"])
def wordcount(host: Host, request: pytest.FixtureRequest) -> Host:
    assert host.run("wordcount.yaml", "words", "--isolation", request.param) == 0
    return host


def test_wordcount_counts_right_from_the_map_to_the_archive(wordcount: Host) -> None:
    task = wordcount.status("words")
    sandbox = Path(task["sandbox"])
    expected = words_of_the_library()
    assert len(expected.splitlines()) > 1000
    assert (sandbox / "public/words.txt").read_bytes() == expected
    assert (sandbox / "fetched.txt").read_bytes() == expected
    with tarfile.open(sandbox / "words.tar.gz") as archive:
        assert archive.getnames() == ["words.txt"]
        held = archive.extractfile("words.txt")
        assert held is not None
        assert held.read() == expected
    assert log(task, "fetch", 0, "stdout").splitlines() == expected.decode().splitlines()[:10]

    assert task["state"] == "SUCCESS"
    assert task["ports"]["http"] > 0
    ends = {name: exits(process) for name, process in processes(task).items()}
    assert ends.pop("serve") == [(None, "SIGTERM")]
    assert set(map(tuple, ends.values())) == {((0, None),)}

    journal = wordcount.journal("words")
    assert stages(journal) == ["ACTIVE", "CLEANING", "FINALIZING", "SUCCESS"]
    begun, ended, alive, most = {}, {}, 0, 0
    for place, record in enumerate(journal):
        if record["type"] == "launched":
            begun[record["name"]] = place
            alive += 1
        elif record["type"] == "exited":
            ended[record["name"]] = place
            alive -= 1
        most = max(most, alive)
    assert most == 3
    for before, after in [("gather", "split"), ("reduce", "serve"), ("reduce", "fetch"), ("fetch", "archive")]:
        assert ended[before] < begun[after]
    for count in ("count-0", "count-1", "count-2", "count-3"):
        assert ended["split"] < begun[count]
        assert ended[count] < begun["reduce"]


@pytest.mark.root
def test_wordcount_gets_every_limit_it_asks_for(host: Host) -> None:
    assert host.run("wordcount.yaml", "words") == 0
    isolation = host.status("words")["isolation"]
    assert {"cpu", "memory", "pids"} <= {line["what"] for line in isolation}
    assert [line for line in isolation if line["got"] is None] == []


def test_failing_retries_then_is_stuck_and_still_finalizes(host: Host) -> None:
    assert host.run("failing.yaml", "failing-1") == 1
    task = host.status("failing-1")
    assert task["state"] == "FAILED"
    assert task["reason"] == "nothing can run: report waits for migrate, which failed for good"
    by_name = processes(task)
    assert exits(by_name["flaky"]) == [(1, None), (0, None)]
    assert exits(by_name["migrate"]) == [(3, None), (3, None)]
    assert by_name["report"]["state"] == "WAITING"
    assert by_name["report"]["runs"] == []
    assert exits(by_name["cleanup"]) == [(0, None)]
    assert Path(task["sandbox"], "cleaned").read_text() == "cleaned up\n"
    assert log(task, "migrate", 1, "stderr") == "cannot migrate, try 1\n"

    first, second = by_name["flaky"]["runs"]
    assert second["started_at"] >= first["ended_at"] + 1
    assert stages(host.journal("failing-1")) == ["ACTIVE", "CLEANING", "FINALIZING", "FAILED"]


def test_service_serves_until_it_is_killed(host: Host) -> None:
    assert host.run("service.yaml", "service-1", "--detach") == 0
    follow = ["timeout", str(DEADLINE), *host.command("tail", "-f", "--stdout", "service-1", "sidecar")]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert "web is up" in tail.stdout.readline()
        task = host.status("service-1")
        assert task["state"] == "ACTIVE"
        assert task["supervised"]
        assert {name: process["state"] for name, process in processes(task).items()} == {
            "web": "RUNNING",
            "sidecar": "RUNNING",
            "farewell": "WAITING",
        }
        with urllib.request.urlopen(f"http://127.0.0.1:{task['ports']['http']}/", timeout=DEADLINE) as answer:
            assert answer.status == 200

        assert host.thermos("kill", "service-1").returncode == 0
        assert host.thermos("wait", "service-1").returncode == 143
        tail.terminate()
    task = host.status("service-1")
    assert task["state"] == "KILLED"
    assert task["ended_at"] is not None
    by_name = processes(task)
    assert exits(by_name["web"]) == [(None, "SIGTERM")]
    assert exits(by_name["farewell"]) == [(0, None)]
    assert Path(task["sandbox"], "farewell").read_text() == "the service has ended\n"
    assert stages(host.journal("service-1")) == ["ACTIVE", "CLEANING", "FINALIZING", "KILLED"]


@pytest.mark.parametrize(("job", "greeting"), [("devel/hello", "hi"), ("example/nobody/prod/hello", "good morning")])
def test_hello_of_aurora_greets_for_the_stage_that_is_chosen(host: Host, job: str, greeting: str) -> None:
    assert host.run("hello.aurora", "hello", "--job", job, "--instance", "3", *plain()) == 0
    task = host.status("hello")
    stage = "prod" if "prod" in job else "devel"
    assert log(task, "greet", 0, "stdout") == f"{greeting} from nobody, instance 3 in {stage}\n"
    assert int(log(task, "count", 0, "stdout")) > 0
    assert {row["what"]: row["got"] for row in task["isolation"]}["disk"].startswith("16 MiB (")


def plain() -> list[str]:
    """For whoever cannot become another user, or set limits."""
    return [] if os.geteuid() == 0 else ["--isolation", "best-effort", "--user", pwd.getpwuid(os.geteuid()).pw_name]


def test_hello_of_aurora_asks_which_job_is_meant(host: Host) -> None:
    done = host.thermos("run", str(EXAMPLES / "hello.aurora"))
    assert done.returncode == 65
    assert "example/nobody/devel/hello" in done.stderr
    assert "example/nobody/prod/hello" in done.stderr


def test_pipeline_joins_its_tasks_and_reports_at_the_end(host: Host) -> None:
    assert host.run("pipeline.thermos", "pipe") == 0
    task = host.status("pipe")
    assert log(task, "report", 0, "stdout") == "pipe: 500500 in 1000 lines\n"
    assert sorted(processes(task)) == ["check", "fetch", "lines", "report", "sum"]


def test_web_of_aurora_serves_on_its_port_until_it_is_killed(host: Host) -> None:
    done = host.thermos("run", "--detach", "--task-id", "web", *plain(), str(EXAMPLES / "web.aurora"))
    assert (done.returncode, done.stdout) == (0, "web\n"), done.stderr
    until(lambda: processes(host.status("web"))["watch"]["state"] == "SUCCESS", "nothing listens")
    task = host.status("web")
    with urllib.request.urlopen(f"http://127.0.0.1:{task['ports']['http']}/", timeout=DEADLINE) as page:
        assert page.status == 200
    assert log(task, "web", 0, "stdout").startswith("level debug\n")
    assert host.thermos("kill", "web").returncode == 0
    assert host.thermos("wait", "web").returncode == 143
    assert log(host.status("web"), "farewell", 0, "stdout") == "the service has ended\n"


def test_shards_are_summed_when_the_results_can_be_fetched(host: Host) -> None:
    mode = "strict" if os.geteuid() == 0 else "best-effort"
    assert host.run("shards.yaml", "shards", "--isolation", mode) == 0
    task = host.status("shards")
    assert log(task, "report", 0, "stdout") == "8002000\n"
    assert log(task, "count-3", 0, "stdout") == "shard 3\n"
    healthy = [record for record in host.journal("shards") if record["type"] == "checked" and record["ok"]]
    assert {record["name"] for record in healthy} == {"results"}
    if mode == "strict":
        rows = {row["what"]: row["asked"] for row in task["isolation"]}
        assert rows["memory"] == "512 MiB", "from parts/limits.toml"
    assert not list(Path(task["sandbox"]).glob("part.?")), "tidy runs at the end"


def test_retries_are_made_by_rule_and_what_mourns_is_skipped(host: Host) -> None:
    mode = "strict" if os.geteuid() == 0 else "best-effort"
    assert host.run("retries.toml", "retries", "--isolation", mode) == 0
    found = processes(host.status("retries"))
    assert exits(found["flaky"]) == [(75, None), (75, None), (0, None)]
    assert exits(found["grep"]) == [(1, None)]
    assert found["grep"]["state"] == "SUCCESS"
    assert found["mourner"]["runs"] == []


def test_pairs_are_built_and_tested_each_with_its_own(host: Host) -> None:
    assert host.run("pairs.json", "pairs") == 0
    task = host.status("pairs")
    assert log(task, "test-core", 0, "stdout") == "core\ncore\n"
    assert log(task, "test-rim", 0, "stdout") == "rim\n"
    with tarfile.open(Path(task["sandbox"]) / "all.tar") as packed:
        assert sorted(packed.getnames()) == ["built.core.fast", "built.core.safe", "built.rim.safe"]


def test_a_quiet_task_does_its_work_and_nothing_besides(host: Host) -> None:
    mode = "strict" if os.geteuid() == 0 else "best-effort"
    assert host.run("quiet.yaml", "quiet", "--isolation", mode) == 0
    task = host.status("quiet")
    assert Path(task["sandbox"], "top").read_text() == "999\n998\n997\n"
    assert log(task, "work", 0, "stdout") == "64\n10\n"
    refused = ["no sockets", "no programs of its own", "no large files", "no files of the host"]
    assert log(task, "tries", 0, "stdout").splitlines() == refused
    rows = {row["what"]: row["got"] for row in task["isolation"]}
    assert rows["capabilities of work"] == "none"
    assert rows["landlock execute"] == "/usr"


def test_a_task_runs_in_a_root_that_was_made_for_it(host: Host) -> None:
    here = host.root.parent / "elsewhere"
    here.mkdir()
    image, file = here / "root.tar", shutil.copy(EXAMPLES / "image.yaml", here)
    subprocess.run([EXAMPLES / "parts/make-root", image, "bash", "ls", "cat"], check=True, timeout=DEADLINE)
    mode = "strict" if os.geteuid() == 0 else "best-effort"
    assert host.run(file, "image", "--isolation", mode) == 0
    task = host.status("image")
    assert log(task, "look", 0, "stdout").split() == ["inside:", "bash", "cat", "ls"]
    assert log(task, "again", 0, "stdout") == "changed\n"
    assert {row["what"]: row["got"] for row in task["isolation"]}["root"] == image.name


@pytest.mark.root
def test_a_sandboxed_service_has_a_network_of_its_own_and_is_reached_by_its_port(host: Host) -> None:
    assert host.run("sandboxed.yaml", "sandboxed", "--detach") == 0
    until(lambda: processes(host.status("sandboxed"))["look"]["state"] == "SUCCESS", "nobody is healthy")
    task = host.status("sandboxed")
    name, *interfaces = log(task, "look", 0, "stdout").splitlines()
    assert (name, sorted(interfaces)) == ("docs", ["eth0", "lo"])
    assert "Read-only file system" in log(task, "look", 0, "stderr")
    with urllib.request.urlopen(f"http://127.0.0.1:{task['ports']['http']}/", timeout=DEADLINE) as page:
        assert b"bash/" in page.read()
    assert [line for line in task["isolation"] if line["got"] is None] == []

    assert host.thermos("update", "sandboxed", "--ram", "512MiB").stdout.startswith("ram: 512 MiB")
    assert host.thermos("pause", "sandboxed").returncode == 0
    assert host.status("sandboxed")["paused"]
    assert "ACTIVE, paused" in host.thermos("status").stdout
    assert host.thermos("unpause", "sandboxed").returncode == 0
    assert host.thermos("kill", "sandboxed").returncode == 0
    assert host.thermos("wait", "sandboxed").returncode == 143


@pytest.mark.root
def test_the_library_alone_starts_a_command_in_a_sandbox_as_the_readme_says() -> None:
    program = EXAMPLES / "alone.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == [
        "2",
        "box",
        "status 1 without []",
        "touch: cannot touch '/etc/not': Read-only file system",
    ]
    _, _, code = program.read_text().partition("\n")
    assert f"```python\n{code}```\n" in (EXAMPLES.parent / "README.md").read_text()


@pytest.mark.root
def test_the_library_alone_leaves_no_directory_and_no_group(tmp_path: Path) -> None:
    before = set(tree.find("box").items())
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, EXAMPLES / "alone.py"], env=environment, timeout=DEADLINE, check=True)
    assert list(tmp_path.iterdir()) == []
    assert set(tree.find("box").items()) == before
    assert not any(map(os.path.isdir, tree.find("box").values()))


def test_what_several_examples_share_is_in_parts() -> None:
    parts = ["limits.toml", "make-root", "no-sockets.json"]
    assert sorted(path.name for path in (EXAMPLES / "parts").iterdir()) == parts
