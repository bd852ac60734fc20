"""`thermos inspect`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from task_directories import Cli

from thermos.core.task import HealthCheck, Process, Rule, Task

EXAMPLES = Path(__file__).parents[2] / "examples"

SHOP = """\
name: shop
finalization_wait: 10
env: {LEVEL: info, BOTH: task}
defaults: {max_failures: 3}
processes:
  - name: db
    argv: [sleep, "100 000"]
    daemon: true
    health: {tcp: {port: db}, interval_secs: 2}
    stop: {signal: INT, timeout: 5s}
    restart: [{on: {code: [1, 3-5]}, backoff: {initial: 1s}, budget: 4}, {on: {oom: true}, action: fail}]
  - name: web
    cmdline: serve {{thermos.ports[http]}} {{where}}
    env: {BOTH: own}
    after: {db: healthy}
  - {name: tidy, cmdline: "echo \\e[31m", final: true}
"""


def written(tmp_path: Path, text: str = SHOP, name: str = "shop.yaml") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of one part of the page: name -> the words behind it."""
    lines = page.split(f"\n{heading}\n" if heading != "task shop" else "task shop\n")[1].split("\n\n")[0].splitlines()
    return {words[0]: words[1:] for line in lines if (words := line.split())}


def test_each_value_stands_beside_the_place_it_comes_from(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path)
    status, out, err = cli.run("inspect", path, "--bind", "where=here")
    assert (status, err) == (0, "")
    task, db, web = rows(out, "task shop"), rows(out, "process db (daemon)"), rows(out, "process web")
    assert task["finalization_wait"] == ["10s", f"{path}:2:20"]
    assert task["ports"][:2] == ["db,", "http"]
    assert db["argv"] == ["sleep", "'100", "000'", f"{path}:7:11"]
    assert db["max_failures"] == ["3", f"{path}:4:26", "(defaults)"]
    assert db["stop.signal"] == ["SIGINT", f"{path}:10:20"]
    assert db["restart[0].codes"] == ["1,", "3-5", f"{path}:11:27"]
    assert web["cmdline"][:4] == ["serve", "{{thermos.ports[http]}}", "here", f"{path}:13:14"]
    assert "--bind where" in " ".join(web["cmdline"])
    assert web["env.BOTH"] == ["own", f"{path}:14:17"]
    assert web["env.LEVEL"] == ["info", f"{path}:3:14"]
    assert "min_duration" not in web
    assert "order: db -> web; at the end tidy\n" in out


def test_conditions_health_restarts_and_stops_are_said_in_words(cli: Cli, tmp_path: Path) -> None:
    out = " ".join(cli.run("inspect", written(tmp_path), "--bind", "where=here")[1].split())
    assert "=> waits until db is healthy" in out
    assert "=> health a connection to port db, every 2s, within 1s; failures are forgiven for 15s" in out
    assert "=> restart[0] exit 1, 3-5: again after 1s, each time 2 times as long, 60s at most; 4 times at most" in out
    assert "=> restart[1] out of memory: it has failed for good" in out
    assert "=> stop SIGINT to everything of it; SIGKILL after 5s" in out


def test_with_all_defaults_are_shown_too(cli: Cli, tmp_path: Path) -> None:
    out = cli.run("inspect", written(tmp_path), "--bind", "where=here", "--all")[1]
    web = rows(out, "process web")
    assert web["min_duration"] == ["5s", "default", "of", "Thermos"]
    assert web["stop.signal"] == ["SIGTERM", "default", "of", "Thermos"]
    assert web["health"][:1] == ["none"]


def test_json_holds_the_task_as_a_run_would_and_an_origin_for_every_value(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path)
    status, out, err = cli.run("inspect", path, "--bind", "where=here", "--json")
    assert (status, err) == (0, "")
    shown: dict[str, Any] = json.loads(out)
    task = msgspec.convert(shown["task"], Task)
    assert (shown["file"], shown["ports"], shown["aside"]) == (path, ["db", "http"], {})
    assert task.processes[1].cmdline == "serve {{thermos.ports[http]}} here"
    origins = shown["origins"]
    assert origins["finalization_wait"] == {"kind": "file", "file": path, "line": 2, "column": 20, "note": ""}
    assert origins["processes[0].max_failures"]["kind"] == "defaults"
    assert origins["processes[1].cmdline"]["kind"] == "binding"
    assert (origins["max_concurrency"]["kind"], origins["max_concurrency"]["line"]) == ("default", None)
    fields = set(Task.__struct_fields__) - {"processes", "resources", "env", "sandbox"}
    assert fields | {"env.LEVEL", "env.BOTH", "resources.cpu"} <= set(origins)


def test_json_holds_every_field_with_its_default_too(cli: Cli, tmp_path: Path) -> None:
    shown = json.loads(cli.run("inspect", written(tmp_path), "--bind", "where=here", "--json")[1])
    db, web, _ = shown["task"]["processes"]
    assert web["stop"] == {"signal": 15, "to": "all", "timeout": None, "command": None}
    assert set(web) == set(Process.__struct_fields__)
    assert set(db["health"]) == set(HealthCheck.__struct_fields__)
    assert (db["health"]["interval"], db["health"]["timeout"], db["health"]["min_successes"]) == (2, 1, 1)
    assert set(db["restart"][1]) == set(Rule.__struct_fields__)
    assert db["restart"][0]["codes"] == [[1, 1], [3, 5]]
    for path in shown["origins"]:
        value: Any = shown["task"]
        for step in re.findall(r"[^.\[\]]+", path):
            value = value[int(step) if isinstance(value, list) else step]


def test_what_comes_from_an_env_file_is_not_shown_unless_asked_for(cli: Cli, tmp_path: Path) -> None:
    written(tmp_path, "TOKEN=sesame\n", "secrets.env")
    path = written(tmp_path, "env_file: secrets.env\nprocesses: [{name: a, cmdline: 'true'}]\n")
    for words in ([], ["--json"], ["--all"]):
        status, out, err = cli.run("inspect", path, *words)
        assert (status, err) == (0, "")
        assert "sesame" not in out
        assert "secrets.env" in out
        assert "sesame" in cli.run("inspect", path, *words, "--show-secrets")[1]


def test_included_files_and_copies_of_a_matrix_are_named(cli: Cli, tmp_path: Path) -> None:
    included = written(tmp_path, "max_failures: 7\nprocesses: []\n", "usual.yaml")
    text = "include: usual.yaml\nprocesses:\n  - {name: 'n-{{matrix.n}}', cmdline: 'true', matrix: {n: [1, 2]}}\n"
    path = written(tmp_path, text)
    origins = json.loads(cli.run("inspect", path, "--json")[1])["origins"]
    assert (origins["max_failures"]["kind"], origins["max_failures"]["line"]) == ("include", 1)
    assert origins["max_failures"]["file"].endswith("usual.yaml")
    assert Path(origins["max_failures"]["file"]).name == Path(included).name
    assert (origins["processes[1].name"]["kind"], origins["processes[1].name"]["line"]) == ("matrix", 3)


def test_what_a_file_of_auroras_says_beyond_one_host_is_kept_and_shown(cli: Cli, tmp_path: Path) -> None:
    text = """\
hello = Process(name='hello', cmdline='echo {{mesos.instance}} {{thermos.ports[http]}}')
task = Task(name='hello', processes=[hello], resources=Resources(cpu=1, ram=64*MB, disk=64*MB))
jobs = [Job(cluster='c', role='r', environment='prod', name='hello', task=task, cron_schedule='0 * * * *')]
"""
    path = written(tmp_path, text, "hello.aurora")
    status, out, err = cli.run("inspect", path, "--instance", "3")
    assert (status, err) == (0, "")
    assert "echo 3 {{thermos.ports[http]}}" in out
    kept = out.split("\nkept, and without effect here:\n")[1]
    assert ["job.cron_schedule", "0", "*", "*", "*", "*", f"{path}:3:95"] in [
        line.split() for line in kept.splitlines()
    ]
    assert "0 * * * *" in json.dumps(json.loads(cli.run("inspect", path, "--json")[1])["aside"])


DEFAULTS = """\
odd = Process(name='odd', cmdline='x', min_duration=5)
task = Task(name='odd', processes=[odd], resources=Resources(cpu=1, ram=64*MB, disk=64*MB), max_failures=2)
jobs = [Job(cluster='c', role='r', environment='prod', task=task, update_config=UpdateConfig(watch_secs=9))]
"""


def test_defaults_of_aurora_are_nobodys_words(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path, DEFAULTS, "odd.aurora")
    origins = json.loads(cli.run("inspect", path, "--json")[1])["origins"]
    for unsaid in ("max_concurrency", "finalization_wait", "processes[0].daemon", "processes[0].max_failures"):
        assert (origins[unsaid]["kind"], origins[unsaid]["note"]) == ("default", "default of Aurora")
        assert origins[unsaid]["line"] is None
    assert origins["processes[0].success_codes"]["note"] == "default of Thermos"
    said = {"max_failures": (2, 106), "processes[0].min_duration": (1, 53), "user": (3, 31)}
    for name, place in said.items():
        assert (origins[name]["kind"], origins[name]["line"], origins[name]["column"]) == ("file", *place)


def test_defaults_of_aurora_are_shown_where_all_is_asked_for(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path, DEFAULTS, "odd.aurora")
    out, everything = cli.run("inspect", path)[1], cli.run("inspect", path, "--all")[1]
    for unsaid in ("max_concurrency", "daemon", "job.instances", "job.update_config.batch_size", "resources.gpu"):
        assert f"  {unsaid} " not in out
        assert f"  {unsaid} " in everything
    rows_of_it = {words[0]: words[1:] for line in out.splitlines() if (words := line.split())}
    assert rows_of_it["min_duration"] == ["5s", f"{path}:1:53"]
    assert rows_of_it["job.update_config.watch_secs"] == ["9", f"{path}:3:105"]


def test_control_characters_are_shown_and_not_sent_to_the_terminal(cli: Cli, tmp_path: Path) -> None:
    text = 'processes: [{name: a, cmdline: "echo \\u001b[31m\\tred\\nand more"}]\n'
    out = cli.run("inspect", written(tmp_path, text))[1]
    assert "\x1b" not in out
    assert "      echo \N{REPLACEMENT CHARACTER}[31m" in out
    assert "      and more\n" in out


def test_a_port_where_a_number_has_to_stand_is_a_pretended_one(cli: Cli, tmp_path: Path) -> None:
    text = "processes: [{name: a, cmdline: 'true', health: {tcp: {port: '{{thermos.ports[x]}}'}}}]\n"
    status, out, err = cli.run("inspect", written(tmp_path, text))
    assert (status, err) == (0, "")
    assert "health.tcp.port" in out


def test_an_invalid_file_is_refused_with_every_error(cli: Cli) -> None:
    bad = str(Path(__file__).parents[1] / "bad" / "units.yaml")
    status, out, err = cli.run("inspect", bad)
    assert (status, out) == (65, "")
    assert err == cli.run("validate", bad)[2]


def test_every_example_can_be_inspected(cli: Cli) -> None:
    for path in sorted(EXAMPLES.glob("*.yaml")):
        status, out, err = cli.run("inspect", str(path), "--all")
        assert (status, err) == (0, ""), path
        assert out.startswith("task ")
