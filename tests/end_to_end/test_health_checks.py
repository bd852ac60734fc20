"""Health checks of real processes: each kind, what makes one fail, and what becomes of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program

from thermos.core import records as r

pytestmark = pytest.mark.root

#: Answers GET /health with what is in the file `answer`: a status, and perhaps a body.
SERVE = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code, _, body = open("answer").read().strip().partition(" ")
        self.send_response(int(code)); self.end_headers(); self.wfile.write(body.encode())
    def log_message(self, *words): print(self.path, self.headers["Host"], flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def serving(answer: str, **fields: Any) -> dict[str, Any]:
    cmdline = f"{RAN} echo '{answer}' > answer.new; [ -e answer ] || mv answer.new answer; exec python3 -c \"$CODE\" "
    health = {"http": {"port": "web"}, "interval_secs": 0.1, "initial_interval_secs": 60}
    return {
        "name": "web",
        "cmdline": cmdline + "{{thermos.ports[web]}}",
        "env": {"CODE": SERVE},
        "daemon": True,
        "min_duration": 0,
        "health": {**health, **fields},
    }


def checks(program: Program) -> list[r.Checked]:
    return [x for x in program.records() if isinstance(x, r.Checked)]


def why(program: Program) -> str:
    return until(lambda: next((x.why for x in checks(program) if x.why and "connect" not in x.why), ""), "all is well")


def healthy(program: Program, process: int = 0) -> str:
    program.in_charge()
    return str(program.status()["processes"][process]["health"])


def killed(program: Program, run: Any) -> None:
    assert program.done("kill", program.id).returncode == 0
    assert run.wait() == 143


def test_a_run_is_healthy_when_it_answers_and_not_known_before(program: Program) -> None:
    process = {**serving("200"), "cmdline": AWAIT.format("go") + str(serving("200")["cmdline"])}
    run = program.begin([process])
    until(lambda: checks(program), "nobody asked")
    assert healthy(program) == "unknown"
    program.touch("go")
    until(lambda: healthy(program) == "healthy", "it never became healthy")
    host = program.log("web").split("\n")[0]
    assert host.startswith("/health 127.0.0.1:")
    killed(program, run)


@pytest.mark.parametrize(
    ("http", "answer", "says"),
    [
        ({}, "500", "/health answered 500, and not 200-399"),
        ({"codes": [204, "300-302"]}, "200", "/health answered 200, and not 204, 300-302"),
        ({"body": "OK"}, "200 starting", "/health answered 'starting', and not 'OK'"),
        ({"path": "/a b"}, "404", "/a b answered 404, and not 200-399"),
    ],
)
def test_a_wrong_answer_is_told_with_what_was_wanted(
    program: Program, http: dict[str, Any], answer: str, says: str
) -> None:
    """HC-16, decision 11."""
    run = program.begin([serving(answer, http={"port": "web", **http})])
    assert why(program) == says
    killed(program, run)


def test_the_body_is_compared_without_case_and_the_space_around_it(program: Program) -> None:
    run = program.begin([serving("200  oK ", http={"port": "web", "body": " Ok"})])
    until(lambda: healthy(program) == "healthy", "it never became healthy")
    killed(program, run)


def well_without(file: str, **fields: Any) -> dict[str, Any]:
    """A process that is well as long as there is no such file."""
    health = {"exec": {"cmdline": f"[ ! -e {file} ] || {{ echo '{file} is there'; exit 1; }}"}, "interval_secs": 0.05}
    health |= {"initial_interval_secs": 0, "timeout_secs": 30}
    return {"name": "p", "cmdline": RAN + "exec sleep 1000", "min_duration": 0, "health": {**health, **fields}}


def test_an_unhealthy_run_is_stopped_and_the_next_one_gets_its_chance(program: Program) -> None:
    run = program.begin([well_without("sick", max_consecutive_failures=2) | {"max_failures": 2}])
    until(lambda: healthy(program) == "healthy", "it never became healthy")
    program.touch("sick")
    assert run.wait() == 1
    runs = program.runs()["p"]
    assert [each["state"] for each in runs] == ["FAILED", "FAILED"]
    cause = "its health check failed: the command exited with 1: sick is there"
    assert [each["exit"]["cause"] for each in runs] == [cause, cause]
    assert [each["exit"]["signal"] for each in runs] == ["SIGTERM", "SIGTERM"]
    assert program.ran() == ["p 0", "p 1"]
    failures = [x for x in checks(program) if x.run == 0 and not x.ok]
    assert len(failures) == 3, "two failures in a row are forgiven"


def test_a_port_on_which_nobody_listens_is_unhealthy_and_one_with_a_listener_is_well(program: Program) -> None:
    code = (
        "import socket, os, time; s = socket.create_server(('127.0.0.1', int(os.environ['THERMOS_PORT_DB']))); "
        "open('listening', 'w'); time.sleep(1000)"
    )
    process = {
        "name": "db",
        "cmdline": AWAIT.format("go") + f'exec python3 -c "{code}"',
        "health": {"tcp": {"port": "db"}, "interval_secs": 0.1, "initial_interval_secs": 60},
    }
    run = program.begin([process])
    until(lambda: any("connection refused" in x.why for x in checks(program)), "nobody asked")
    program.touch("go")
    until(lambda: healthy(program) == "healthy", "it never became healthy")
    killed(program, run)


def test_a_command_asks_inside_the_sandbox_as_the_user_with_the_environment_of_the_process(program: Program) -> None:
    ask = 'echo "$(id -un) $A $THERMOS_PROCESS $(pwd) $(cat /proc/1/comm)" > asked; cat /proc/self/cgroup > group'
    process = {
        "name": "p",
        "cmdline": AWAIT.format("go"),
        "env": {"A": "b"},
        "cwd": "below",
        "health": {"exec": {"cmdline": ask}, "interval_secs": "1h", "timeout_secs": 30},
    }
    prepare = {"name": "prepare", "cmdline": "mkdir below", "min_duration": 0}
    process |= {"after": "prepare", "cmdline": "cd ..; " + AWAIT.format("go")}
    run = program.begin([prepare, process], user="nobody", sandbox={"namespaces": {"cgroup": False}})
    until(lambda: healthy(program, 1) == "healthy", "it never became healthy")
    asked = (program.sandbox / "below/asked").read_text().split()
    assert asked == ["nobody", "b", "p", f"{program.sandbox}/below", "thermos-pause"]
    assert "/p.0" in (program.sandbox / "below/group").read_text()
    program.touch("go")
    assert run.wait() == 0


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({"cmdline": "echo it is; echo broken >&2; exit 3"}, "the command exited with 3: it is broken"),
        ({"cmdline": "kill -KILL $$"}, "the command was killed by signal 9"),
        ({"argv": ["/no/such/program"]}, "the command exited with 127: cannot execute /no/such/program: No such file"),
        ({"cmdline": "exec sleep 1000"}, "no answer within 0.2 s"),
        ({"cmdline": "yes; exit 1"}, "no answer within 0.2 s"),
        ({"cmdline": "head -c 300000 /dev/zero | tr '\\0' x; exit 9"}, "the command exited with 9: xxxxxxxx"),
    ],
)
def test_a_command_that_does_not_exit_with_0_is_told_with_what_it_said(
    program: Program, command: dict[str, Any], says: str
) -> None:
    """HC-17, decision 11."""
    health = {"exec": command, "interval_secs": 0.1, "timeout_secs": 0.2 if "within" in says else 30}
    run = program.begin([{"name": "p", "cmdline": "sleep 1000", "health": health}])
    assert why(program).startswith(says)
    killed(program, run)


def test_a_check_ends_with_the_run_it_is_about(program: Program) -> None:
    health = {"exec": {"cmdline": "touch asking; exec sleep 1000"}, "interval_secs": 0.1, "timeout_secs": 1000}
    run = program.begin([{"name": "p", "cmdline": AWAIT.format("asking"), "health": health}])
    assert run.wait() == 0  # and nothing is left: see the fixture


@pytest.mark.parametrize("victims", ["supervisor", pytest.param("keeper", marks=pytest.mark.exit_facts)])
def test_checks_go_on_after_a_death_and_what_they_had_come_to_stands(program: Program, victims: str) -> None:
    run = program.begin([well_without("sick", max_consecutive_failures=1)])
    until(lambda: healthy(program) == "healthy", "it never became healthy")
    before = len(checks(program))
    program.kill(program.supervisor() if victims == "supervisor" else program.keeper())
    until(lambda: program.supervisor() and program.keeper())
    program.touch("sick")
    until(lambda: [x for x in checks(program)[before:] if not x.ok], "nobody asks any more")
    until(lambda: program.status()["state"] == "FAILED", "nobody stopped it")
    assert program.ran() == ["p 0"]
    run.wait()


def test_what_changes_nothing_is_not_written_down(program: Program) -> None:
    run = program.begin([serving("200", initial_interval_secs=3, interval_secs=0.02)])
    until(lambda: healthy(program) == "healthy", "it never became healthy")
    until(lambda: program.log("web").count("/health") > 50, "nobody asks")
    until(lambda: len(checks(program)) < program.log("web").count("/health") / 2, "everything is written down")
    killed(program, run)


def raw(answer: str) -> list[str]:
    """A program that answers everybody so, whatever was asked, and closes."""
    code = (
        "import os, socket\ns = socket.create_server(('127.0.0.1', int(os.environ['THERMOS_PORT_HTTP'])))\n"
        f"while True:\n c, _ = s.accept()\n c.recv(9999)\n c.sendall({answer})\n c.close()"
    )
    return ["python3", "-c", code]


@pytest.mark.parametrize(
    "answer",
    ["b'HTTP/1.0 ' + b'9' * 5000 + b'\\r\\n\\r\\n'", "b'HTTP/1.0 -200 OK\\r\\n\\r\\n'", "b'\\0\\xff' * 99", "b''"],
    ids=["digits", "negative", "binary", "empty"],
)
def test_whatever_is_answered_is_an_answer_and_harms_nobody(program: Program, answer: str) -> None:
    """The port is called http where nothing else is said."""
    health = {"http": {"path": "/"}, "interval_secs": 0.1, "initial_interval_secs": 60}
    run = program.begin([{"name": "web", "argv": raw(answer), "health": health}])
    supervisor = program.in_charge()
    assert "HTTP" in why(program)
    assert program.in_charge() == program.supervisor() == supervisor
    killed(program, run)


def test_a_length_that_is_no_number_of_bytes_is_not_believed(program: Program) -> None:
    answer = "b'HTTP/1.0 200 OK\\r\\nContent-Length: ' + b'9' * 5000 + b'\\r\\n\\r\\nok'"
    health = {"http": {"body": "ok"}, "interval_secs": 0.1, "initial_interval_secs": 60}
    run = program.begin([{"name": "web", "argv": raw(answer), "health": health}])
    until(lambda: healthy(program) == "healthy", "it never became healthy")
    killed(program, run)


def test_checks_of_runs_that_are_over_at_once_harm_nobody(program: Program) -> None:
    health = {"exec": {"cmdline": "sleep 0.01"}, "interval_secs": 0.01, "timeout_secs": 5}
    process = {"name": "p", "cmdline": "true", "daemon": True, "min_duration": 0, "health": health}
    run = program.begin([process])
    both = until(lambda: program.in_charge()), program.keeper()
    until(lambda: sum(isinstance(x, r.Exited) for x in program.records()) > 100, "they do not run")
    assert (program.in_charge(), program.keeper()) == both
    killed(program, run)


def test_a_check_that_has_closed_its_output_keeps_no_processor(program: Program) -> None:
    health = {"exec": {"cmdline": "exec >&- 2>&-; touch asked; exec sleep 2"}, "interval_secs": 60, "timeout_secs": 60}
    run = program.begin([{"name": "p", "cmdline": "sleep 1000", "health": health}])
    until(lambda: (program.sandbox / "asked").exists(), "nobody asked")
    until(lambda: healthy(program) == "healthy", "it never became healthy")
    ticks = Path(f"/proc/{program.supervisor()}/stat").read_text().rpartition(")")[2].split()[11:13]
    assert sum(map(int, ticks)) < 100, "hundredths of a second"
    killed(program, run)


def test_what_has_ended_is_not_checked_while_its_output_is_still_being_read(program: Program) -> None:
    health = {"exec": {"cmdline": "true"}, "interval_secs": 0.02, "initial_interval_secs": 0}
    writes = {"name": "writes", "cmdline": f"echo {'a' * 60}!", "min_duration": 0, "health": health}
    run = program.begin([writes, {"name": "waits", "cmdline": "true", "after": {"writes": {"log": "^(a+)+$"}}}])
    assert run.wait() == 1
    assert program.exits("writes") == [(0, None, "waited")]
    assert [x.ok for x in checks(program) if not x.ok] == []


def test_an_answer_without_end_is_not_read_without_end(program: Program) -> None:
    code = (
        "import socket, os; s = socket.create_server(('127.0.0.1', int(os.environ['THERMOS_PORT_WEB'])))\n"
        "while True:\n c, _ = s.accept()\n try:\n  while True: c.sendall(b'x' * 65536)\n except OSError: pass"
    )
    health = {"http": {"port": "web"}, "interval_secs": 0.1, "initial_interval_secs": 60}
    run = program.begin([{"name": "web", "argv": ["python3", "-c", code], "health": health}])
    assert why(program).startswith("port ")
    status = Path(f"/proc/{program.supervisor()}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) < 40_000, "kB"
    killed(program, run)
