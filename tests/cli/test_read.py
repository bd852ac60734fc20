"""`thermos read`."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

from task_directories import DEADLINE, Cli

from thermos.checkpoint import codec
from thermos.core import records as r


def test_records_are_told_in_words_with_names(cli: Cli) -> None:
    task = cli.task("hello-1", "web", "db")
    task.activate()
    task.start(1)
    task.write(r.Signalled(at=1764000003.0, cause=2, process=1, run=0, signal=15))
    task.write(r.Exited(at=1764000004.0, cause=5, process=1, run=0, source="pidfd", signal=15, lingers=True))
    task.write(r.Refused(at=1764000004.0, process=0, run=0, step="execute /x", errno=2, message="No such file"))
    task.write(r.Emptied(at=1764000005.0, process=1, run=0))
    task.write(r.Abandoned(at=1764000006.0, process=1, run=1))
    task.write(r.KillRequested(at=1764000007.0, by="alice", wait=90.0))
    task.write(r.Sandboxed(at=1764000008.0, init=None, got={}, missing={"pid": "not root"}))
    status, out, err = cli.run("read", task.id)
    assert (status, err) == (0, "")
    assert [line.split(maxsplit=2)[2] for line in out.splitlines()] == [
        "supervisor 7 took charge",
        "the task is ACTIVE: the task was accepted  (because of 1)",
        "db/0 is to be started  (because of 2)",
        "db/0 runs as pid 4242",
        "db/0 is to get SIGTERM  (because of 2)",
        "db/0 ended: killed by SIGTERM (seen by: pidfd); other processes of it still live  (because of 5)",
        "web/0 did not start: cannot execute /x: No such file",
        "db/0 is empty: the last of its processes is gone",
        "db/1 did not die of SIGKILL and is left behind",
        "alice asked to kill the task, within 1m30s",
        "the sandbox is ready; no pid: not root",
    ]
    assert [int(line.split()[0]) for line in out.splitlines()] == list(range(1, 12))


def test_times_are_iso_and_local(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    at = cli.run("read", task.id)[1].split()[1]
    assert datetime.fromisoformat(at).timestamp() == 1764000001.0
    assert datetime.fromisoformat(at).utcoffset() is not None


def test_json_is_the_record_with_its_number_and_its_process_name(cli: Cli) -> None:
    task = cli.task("hello-1", "my web")
    task.activate()
    task.start(0, pid=9)
    _, out, _ = cli.run("read", task.id, "--json")
    assert [json.loads(line) for line in out.splitlines()][2:] == [
        {"seq": 3, "type": "launched", "at": 1764000002.0, "cause": 2, "process": 0, "run": 0, "name": "my web"},
        {
            "seq": 4,
            "type": "started",
            "at": 1764000002.5,
            "process": 0,
            "run": 0,
            "pid": 9,
            "ticks": 1,
            "name": "my web",
        },
    ]


def test_before_the_damage_everything_is_shown_and_then_its_offset(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    whole = task.journal.stat().st_size
    task.start(0)
    data = bytearray(task.journal.read_bytes())
    data[whole + 20] ^= 1
    task.journal.write_bytes(data)
    status, out, err = cli.run("read", task.id)
    assert (status, len(out.splitlines())) == (1, 2)
    assert err == f"cannot read {task.journal} at offset {whole}: a frame's checksum differs\n"


def test_a_missing_record_is_damage(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    with task.journal.open("ab") as journal:
        journal.write(codec.encode(4, [r.Launched(at=3.0, process=0, run=0)]))
    status, out, err = cli.run("read", task.id)
    assert (status, len(out.splitlines())) == (1, 2)
    assert "record 3 is missing" in err


def test_a_torn_end_is_said_and_is_no_failure(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    size = task.journal.stat().st_size
    with task.journal.open("ab") as journal:
        journal.write(codec.encode(3, [r.Launched(at=3.0, process=0, run=0)])[:-3])
    status, out, err = cli.run("read", task.id, "--json")
    assert (status, len(out.splitlines())) == (0, 2)
    assert err.startswith("a torn end after record 2: ")
    assert f"at offset {size}" in err


def test_another_version_is_not_guessed_at(cli: Cli) -> None:
    task = cli.task()
    task.journal.write_bytes(b"thermos journal 99\n")
    status, out, err = cli.run("read", task.id)
    assert (status, out) == (1, "")
    assert "version 99" in err


def test_no_journal_yet_is_said(cli: Cli) -> None:
    assert cli.run("read", cli.task().id) == (
        0, "", "the journal is not there yet: nobody has taken charge of the task\n"
    )  # fmt: skip


def test_following_goes_on_to_the_end_of_the_task(cli: Cli) -> None:
    task = cli.task("hello-1", "web")
    task.activate()
    reading = cli.start("read", task.id, "-f", "--json")
    assert reading.stdout
    assert [json.loads(reading.stdout.readline())["seq"] for _ in range(2)] == [1, 2]
    task.start(0)
    assert [json.loads(reading.stdout.readline())["type"] for _ in range(2)] == ["launched", "started"]
    task.end()
    out, err = reading.communicate(timeout=DEADLINE)
    assert [json.loads(line)["stage"] for line in out.splitlines()] == ["CLEANING", "FINALIZING", "SUCCESS"]
    assert (reading.returncode, err) == (0, "")


def test_following_waits_for_the_journal_to_appear(cli: Cli) -> None:
    task = cli.task()
    reading = cli.start("read", task.id, "-f")
    task.activate()
    task.end()
    assert len(reading.communicate(timeout=DEADLINE)[0].splitlines()) == 5


def test_following_an_ended_task_ends(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    task.end()
    assert cli.run("read", task.id, "-f")[0] == 0


def test_a_compacted_journal_begins_with_what_it_was_folded_to(cli: Cli) -> None:
    golden = Path(__file__).parents[1] / "journals/v1/compacted"
    shutil.copytree(golden, cli.root / "tasks/features")
    text = cli.run("read", "features")[1].splitlines()
    assert text[0].startswith("    15  ")
    assert text[0].endswith("all records before this one were folded into it: 14 since the task began")
    assert "is to be started" in "".join(text[1:])
    first, *others = [json.loads(line) for line in cli.run("read", "--json", "features")[1].splitlines()]
    assert (first["seq"], first["type"], first["fold"]["seq"]) == (15, "compacted", 14)
    assert [record["seq"] for record in others] == list(range(16, 16 + len(others)))


def test_a_full_disk_is_told_in_words(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    task.write(r.DiskPressure(at=5.0, why="no room"))
    task.write(r.DiskPressure(at=6.0))
    told = cli.run("read", task.id)[1]
    assert "nothing new is started: no room" in told
    assert "there is room again" in told
