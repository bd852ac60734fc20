"""The real observer, asked over HTTP."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running_observer import PATIENCE, Start
from tasks_on_disk import began, exited, launched, over, process, put_task

from thermos import paths
from thermos.checkpoint import lock

Supervise = Callable[[str], None]


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Holds a task's lock as its supervisor does."""
    held: list[int] = []

    def take(directory: str) -> None:
        fd = os.open(f"{directory}/{paths.LOCK}", os.O_RDWR | os.O_CREAT)
        assert lock.take(fd)
        held.append(fd)

    yield take
    for fd in held:
        os.close(fd)


def test_it_says_where_it_listens_and_that_it_is_well(root: str, start: Start) -> None:
    observer = start(root)
    assert re.fullmatch(r"observing \S+ at http://127\.0\.0\.1:\d+/\n", observer.said)
    answer = observer.get("/health")
    assert (answer.status, answer.body) == (200, b"ok\n")


def test_it_answers_on_a_unix_socket_whatever_the_host_is_called(root: str, tmp_path: Path, start: Start) -> None:
    observer = start(root, listen=f"unix:{tmp_path}/o.sock")
    assert observer.asking_with(Host="anything.example").get("/health").body == b"ok\n"
    observer.process.send_signal(signal.SIGTERM)
    observer.process.wait(PATIENCE)
    assert not os.path.exists(f"{tmp_path}/o.sock")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_traceback(root: str, start: Start, number: int) -> None:
    observer = start(root)
    observer.process.send_signal(number)
    _, err = observer.process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err


def test_an_answer_holds_everything_written_before_the_request(root: str, start: Start) -> None:
    on_disk = put_task(root, "t1", [process("web", max_failures=0)], began())
    observer = start(root)
    for run in range(20):
        on_disk.append(*launched(0, run), exited(0, run, code=1))
        (shown,) = observer.get("/api/tasks").json
        assert shown["processes"][0]["launches"] == run + 1


def test_a_task_is_shown_with_the_fields_of_status_and_its_usage(root: str, start: Start, supervise: Supervise) -> None:
    on_disk = put_task(root, "t1", records=[*began(), *launched(), exited(code=3)])
    supervise(on_disk.directory)
    (shown,) = start(root).get("/api/tasks").json
    assert (shown["task_id"], shown["state"], shown["supervised"]) == ("t1", "ACTIVE", True)
    assert (shown["root"], shown["sandbox"]) == (root, f"{on_disk.directory}/sandbox")
    assert (shown["user"], shown["ports"], shown["error"]) == ("nobody", {"http": 31001}, None)
    assert shown["isolation"][0]["why_not"] == "memory is not delegated"
    (run,) = shown["processes"][0]["runs"]
    assert run["exit"] == {
        "code": 3,
        "signal": None,
        "source": "waited",
        "oom": False,
        "core": False,
        "cause": "exited with 3",
        "cpu": 0.5,
        "memory": 1 << 20,
    }
    assert set(shown["usage"]) >= {"cpu", "cores", "memory", "pids"}


def test_one_task_says_what_each_of_its_processes_uses(root: str, start: Start) -> None:
    put_task(root, "t1", [process("web"), process("db")], began() + launched(1))
    shown = start(root).get("/api/tasks/t1").json
    assert [(each["name"], each["usage"]["cpu"]) for each in shown["processes"]] == [("web", None), ("db", None)]


def test_tasks_are_filtered_by_state_name_and_whether_they_are_over(root: str, start: Start) -> None:
    put_task(root, "a", records=began(), name="shop")
    put_task(root, "b", records=began() + over("FAILED"), name="shop-batch")
    put_task(root, "c", records=began() + over("SUCCESS"), name="mail")
    observer = start(root)

    def ids(query: str) -> set[str]:
        return {task["task_id"] for task in observer.get(f"/api/tasks?{query}").json}

    assert ids("") == {"a", "b", "c"}
    assert ids("state=FAILED") == {"b"}
    assert ids("state=FAILED,SUCCESS") == {"b", "c"}
    assert ids("active=1") == {"a"}
    assert ids("active=0") == {"b", "c"}
    assert ids("name=shop") == {"a"}
    assert ids("name=shop*") == {"a", "b"}
    assert ids("name=shop*&active=1") == {"a"}
    assert ids("name=c") == {"c"}
    assert ids("name=") == {"a", "b", "c"}


def test_tasks_come_newest_first_page_by_page_with_their_number(root: str, start: Start) -> None:
    for number in range(5):
        put_task(root, f"t{number}", records=began(), created_at=float(number))
    observer = start(root)
    seen: list[str] = []
    path = "/api/tasks?limit=2&active=1"
    while path:
        answer = observer.get(path)
        assert answer.headers["x-total-count"] == "5"
        seen += [task["task_id"] for task in answer.json]
        link = re.fullmatch(r'<(\S+)>; rel="next"', answer.headers.get("link", ""))
        path = link[1] if link else ""
    assert seen == ["t4", "t3", "t2", "t1", "t0"]


@pytest.mark.parametrize("query", ["state=RUNNING", "active=yes", "limit=-1", "limit=x", "offset=1.5"])
def test_a_filter_that_makes_no_sense_is_explained(root: str, start: Start, query: str) -> None:
    answer = start(root).get(f"/api/tasks?{query}")
    assert answer.status == 400
    assert answer.json["error"].startswith(f"cannot use {query}: ")


def test_health_is_what_a_load_balancer_needs(root: str, start: Start, supervise: Supervise) -> None:
    two = [process("web", daemon=True), process("db", daemon=True, max_failures=0)]
    on_disk = put_task(root, "well", two, began() + launched(0) + launched(1))
    supervise(on_disk.directory)
    put_task(root, "alone", records=began())
    put_task(root, "failed", records=began() + over("FAILED"))
    put_task(root, "done", records=began() + over("SUCCESS"))
    observer = start(root)
    well = observer.get("/health/well")
    assert (well.status, well.json["health"]) == (200, "healthy")
    assert observer.get("/health/done").status == 200
    alone = observer.get("/health/alone")
    assert (alone.status, alone.json["why"]) == (503, "nobody supervises the task: resume it")
    assert observer.get("/health/failed").status == 503
    on_disk.append(exited(1, code=7))
    assert observer.get("/health/well/web").status == 200
    broken = observer.get("/health/well/db")
    assert broken.status == 503
    assert "exited with 7" in broken.json["why"]
    assert observer.get("/health/well").status == 503
    for path in ("/health/none", "/health/well/none"):
        answer = observer.get(path)
        assert answer.status == 404
        assert "none" in answer.json["error"]


def test_a_damaged_task_is_unhealthy_and_shown_and_never_a_server_error(root: str, start: Start) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    with open(f"{on_disk.directory}/journal", "ab") as file:
        file.write(b"\x04\0\0\0\1\2\3\4junk")
    os.mkdir(f"{paths.tasks_dir(root)}/t2")
    observer = start(root)
    for task_id, why in (("t1", "checksum"), ("t2", "task.json: there is no such file")):
        health = observer.get(f"/health/{task_id}")
        assert health.status == 503
        assert why in health.json["why"]
        assert why in observer.get(f"/api/tasks/{task_id}").json["error"]
        page = observer.get(f"/task/{task_id}")
        assert page.status == 200
        assert why in page.text
        assert why in observer.get("/").text
    assert "thermos_tasks_unreadable 2.0" in observer.get("/metrics").text
    assert observer.get("/logs/t2/web/0/stdout").status == 404
    assert [task["task_id"] for task in observer.get("/api/tasks?state=unreadable").json] == ["t2"]


def test_a_log_is_served_whole_in_ranges_and_from_its_end(root: str, start: Start) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    data = b"".join(b"line %d\n" % number for number in range(1000))
    path = on_disk.log("web", 0, "stdout", data)
    observer = start(root)
    log = "/api/tasks/t1/logs/web/0/stdout"
    whole = observer.get(log)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.headers["accept-ranges"] == "bytes"
    part = observer.asking_with(Range="bytes=7-13").get(log)
    assert (part.status, part.body) == (206, b"line 1\n")
    assert part.headers["content-range"] == f"bytes 7-13/{len(data)}"
    assert observer.asking_with(Range="bytes=-9").get(log).body == b"line 999\n"
    assert observer.asking_with(Range="bytes=0-3", **{"If-Range": '"x"'}).get(log).status == 200
    behind = observer.asking_with(Range=f"bytes={len(data)}-").get(log)
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert observer.get(f"{log}?tail=2").body == b"line 998\nline 999\n"
    assert observer.get(f"{log}?tail_bytes=4").body == b"999\n"
    assert observer.get(f"{log}?tail=2&tail_bytes=9").body == b"line 999\n"
    with open(path, "ab") as file:
        file.write(b"more\n")
    assert observer.asking_with(Range=f"bytes={len(data)}-").get(log).body == b"more\n"


def test_a_log_that_is_not_there_is_explained(root: str, start: Start) -> None:
    put_task(root, "t1", records=began() + launched())
    observer = start(root)
    for path, why in {
        "none/logs/web/0/stdout": "cannot find task none",
        "t1/logs/none/0/stdout": "cannot find process none",
        "t1/logs/web/1/stdout": "cannot find run 1 of process web: there were 1 so far",
        "t1/logs/web/x/stdout": "cannot find run x",
        "t1/logs/web/" + "9" * 5000 + "/stdout": "cannot find run 9",
        "t1/logs/web/0/stdin": "cannot find the log stdin",
        "t1/logs/web/0/stdout": "cannot open .logs/web/0/stdout in the sandbox: No such file or directory",
        "t1/logs/%2e%2e/0/stdout": "cannot find process ..",
        "t1/logs/..%2f..%2fweb/0/stdout": "cannot find /api/tasks",
    }.items():
        answer = observer.get(f"/api/tasks/{path}")
        assert answer.status == 404
        assert answer.json["error"].startswith(why)
    page = observer.get("/logs/t1/web/0/stdout")
    assert page.status == 200, "a run that has written nothing yet has a page"
    assert "No such file or directory" in page.text


def test_what_a_task_planted_in_the_place_of_its_log_is_not_opened(root: str, tmp_path: Path, start: Start) -> None:
    on_disk = put_task(root, "t1", [process("web"), process("up")], began() + launched() + launched(1))
    stderr = on_disk.log("web", 0, "stderr", b"")
    os.unlink(stderr)
    os.mkfifo(stderr)
    (tmp_path / "secret").write_text("SECRET")
    os.symlink("/etc/shadow", on_disk.log("web", 0, "stdout", b"") + ".new")
    os.replace(f"{os.path.dirname(stderr)}/stdout.new", f"{os.path.dirname(stderr)}/stdout")
    os.makedirs(f"{on_disk.directory}/sandbox/.logs/up")
    os.makedirs(tmp_path / "outside")
    (tmp_path / "outside" / "stdout").write_text("SECRET")
    os.symlink(tmp_path / "outside", f"{on_disk.directory}/sandbox/.logs/up/0")
    observer = start(root)
    for path in ("web/0/stdout", "web/0/stderr", "up/0/stdout"):
        answer = observer.get(f"/api/tasks/t1/logs/{path}")
        assert answer.status == 404
        assert answer.json["error"].startswith(f"cannot open .logs/{path} in the sandbox: ")
        page = observer.get(f"/logs/t1/{path}")
        assert page.status == 200
        assert "SECRET" not in page.text
        assert "root:" not in page.text


def resident(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) << 10


def test_a_huge_log_costs_no_memory(root: str, start: Start) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    os.truncate(on_disk.log("web", 0, "stdout", b""), 200 << 20)
    observer = start(root)
    assert observer.get("/logs/t1/web/0/stdout").status == 200
    assert observer.get("/api/tasks/t1/logs/web/0/stdout?tail=1").status == 200
    before = resident(observer.process.pid)
    connection = observer.connection()
    connection.request("GET", "/api/tasks/t1/logs/web/0/stdout")
    response = connection.getresponse()
    received = 0
    while chunk := response.read(1 << 20):
        received += len(chunk)
    connection.close()
    assert received == 200 << 20
    assert resident(observer.process.pid) - before < 32 << 20


def test_head_gives_the_headers_alone(root: str, start: Start) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    on_disk.log("web", 0, "stdout", b"hello")
    observer = start(root)
    for path in ("/", "/health", "/task/t1", "/api/tasks", "/api/tasks/t1/logs/web/0/stdout", "/static/style.css"):
        answer = observer.get(path, "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize("path", ["/", "/task/t1", "/api/tasks", "/api/tasks/t1/logs/web/0/stdout", "/health"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(root: str, start: Start, path: str, method: str) -> None:
    answer = start(root).get(path, method)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert f"cannot {method} {path}" in answer.text


@pytest.mark.parametrize(
    "path", ["/none", "/api/none", "/task/none", "/process/none/web", "/static/none", "/health/none"]
)
def test_what_is_not_there_is_404_with_a_sentence(root: str, start: Start, path: str) -> None:
    answer = start(root).get(path)
    assert answer.status == 404
    assert "cannot find" in answer.text
    assert "none" in answer.text


def test_a_foreign_name_for_this_machine_is_not_answered(root: str, start: Start) -> None:
    put_task(root, "t1", records=began())
    observer = start(root)
    for path in ("/", "/api/tasks", "/api/tasks/t1"):
        answer = observer.asking_with(Host="evil.example:1338").get(path)
        assert answer.status == 421
        assert "t1" not in answer.text
    assert observer.asking_with(Host="localhost:1338").get("/").status == 200


def test_every_answer_forbids_foreign_scripts_frames_and_guessing(root: str, start: Start) -> None:
    observer = start(root)
    for path in ("/", "/none", "/api/tasks", "/static/page.js"):
        headers = observer.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "date" in headers


def test_names_and_logs_are_text_never_markup(root: str, start: Start) -> None:
    evil = "<script>alert(1)</script>"
    on_disk = put_task(
        root,
        evil.replace("/", "_"),
        [process("<img src=x>", cmdline=evil)],
        began() + launched(),
        name=evil,
        user="<b>",
    )
    on_disk.log("<img src=x>", 0, "stdout", f"{evil} \x1b[31mred\x1b[0m \xff".encode("latin-1"))
    observer = start(root)
    task_id = quote(on_disk.task_id)
    for path in ("/", f"/task/{task_id}", f"/process/{task_id}/%3Cimg%20src=x%3E"):
        page = observer.get(path)
        assert page.status == 200
        assert not re.search(r"<script>|<img|<b>\s*<", page.text)
        assert "&lt;" in page.text
    log = observer.get(f"/logs/{task_id}/%3Cimg%20src=x%3E/0/stdout")
    assert f"{evil} red \ufffd".replace("<", "&lt;").replace(">", "&gt;") in log.text


def test_links_of_every_page_lead_somewhere(root: str, start: Start) -> None:
    odd = "we b%2F?#&\u00fc"
    on_disk = put_task(root, "t 1", [process(odd), process("db", after=(odd,))], began() + launched())
    on_disk.log(odd, 0, "stdout", b"hello")
    on_disk.log(odd, 0, "stderr", b"hello")
    put_task(root, "t2", records=[*began(), *launched(), exited(), *over()])
    observer = start(root)
    seen: set[str] = set()
    left = ["/"]
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = observer.get(path)
        assert answer.status in ((200, 503) if path.startswith("/health") else (200,)), path
        if answer.headers["content-type"].startswith("text/html"):
            left += [link.replace("&amp;", "&") for link in re.findall(r'(?:href|src)="([^"]+)"', answer.text)]
    assert f"/logs/t%201/{quote(odd, safe='')}/0/stdout" in seen


def test_the_same_id_under_two_roots_is_asked_about_by_root(tmp_path: Path, start: Start) -> None:
    one, two = f"{tmp_path}/one", f"{tmp_path}/two"
    put_task(one, "t1", records=began())
    put_task(two, "t1", records=began(), name="other")
    observer = start(one, two)
    answer = observer.get("/api/tasks/t1")
    assert answer.status == 404
    assert "add ?root=" in answer.json["error"]
    assert observer.get(f"/api/tasks/t1?root={two}").json["name"] == "other"
    assert f'href="/task/t1?root={quote(two, safe="")}"' in observer.get("/").text


def test_metrics_can_be_parsed_and_escape_what_they_are_given(root: str, start: Start) -> None:
    evil = 'we"b\\\n{}'
    put_task(root, "t1", [process(evil, max_failures=0)], [*began(), *launched(), exited(code=1), *launched(run=1)])
    put_task(root, "t2", records=began() + over("FAILED"))
    text = start(root).get("/metrics").text
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    who = (("process", evil), ("root", root), ("task_id", "t1"))
    assert samples["thermos_tasks", ("state", "ACTIVE")] == 1
    assert samples["thermos_tasks", ("state", "FAILED")] == 1
    assert samples["thermos_tasks", ("state", "LOST")] == 0
    assert samples["thermos_process_restarts_total", *who] == 1
    assert samples["thermos_process_failures_total", *who] == 1
    assert samples["thermos_process_state", who[0], who[1], ("state", "RUNNING"), who[2]] == 1
    assert samples["thermos_task_supervised", ("root", root), ("task_id", "t1")] == 0
    assert ("thermos_observer_process_cpu_seconds_total",) in samples


def test_it_writes_nothing_and_holds_no_lock(root: str, start: Start) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    on_disk.log("web", 0, "stdout", b"hello")
    fd = os.open(f"{on_disk.directory}/lock", os.O_RDWR | os.O_CREAT)

    def look() -> list[tuple[str, int, int]]:
        everything = [root, *map(str, Path(root).rglob("*"))]
        return [(path, os.lstat(path).st_mtime_ns, os.lstat(path).st_ctime_ns) for path in everything]

    before = look()
    observer = start(root)
    for path in (
        "/",
        "/task/t1",
        "/process/t1/web",
        "/logs/t1/web/0/stdout",
        "/api/tasks/t1",
        "/metrics",
        "/health/t1",
    ):
        observer.get(path)
    assert look() == before
    assert not lock.held(fd)
    os.close(fd)


def test_nothing_wakes_it_when_nothing_happens(root: str, start: Start) -> None:
    """Its loop sleeps without a time-out: epoll_wait is its one system call, and the fourth argument is -1."""
    put_task(root, "t1", records=began() + launched())
    observer = start(root)
    call = Path(f"/proc/{observer.process.pid}/syscall")
    if not os.access(call, os.R_OK) or os.uname().machine != "x86_64":
        pytest.skip("needs /proc/PID/syscall")
    deadline = time.monotonic() + PATIENCE
    while not (text := call.read_text()).startswith("232 "):
        assert time.monotonic() < deadline, text
    assert int(text.split()[4], 16) & 0xFFFFFFFF == 0xFFFFFFFF


def test_a_port_that_is_taken_is_said_in_one_line(root: str, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "observer.server", "--root", root, "--listen", where],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot listen on {where}: Address already in use; ")
    assert done.stderr.count("\n") == 1
