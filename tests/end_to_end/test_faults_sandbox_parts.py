"""Images, networks, disk limits and groups when somebody dies over them, or they cannot be had: it ends clean."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, gone, groups, networks, process, rows

from sandbox.cgroups import tree
from sandbox.disk import limit
from thermos import paths
from thermos.core import records as r
from thermos.runtime import control, ground, images, programs

pytestmark = pytest.mark.root


def an_image(path: Path) -> str:
    """A tarball in which bash runs."""
    listed = subprocess.run(["ldd", "/bin/bash"], capture_output=True, text=True).stdout.split()
    libraries = {os.path.realpath(word): word for word in listed if word.startswith("/")}
    with tarfile.open(path, "w") as archive:
        for source, name in {os.path.realpath("/bin/bash"): "/bin/bash", **libraries}.items():
            archive.add(source, name.lstrip("/"), recursive=False)
        archive.addfile(tarfile.TarInfo("empty"), io.BytesIO())
    return str(path)


def parts_left(program: Program) -> list[str]:
    """What a task has had that the kernel does not take away."""
    left = groups(program)
    left += [
        str(path) for place in ("images/holders", "disks", "ports", "new") for path in program.root.glob(f"{place}/*")
    ]
    left += [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(program.base) in line]
    return left + networks(program)


# -- somebody dies

#: Everything that is made before, beside or after the kernel's own.
ALL_OF_IT: dict[str, Any] = {
    "sandbox": {"rootfs": "base.tar", "network": "private"},
    "resources": {"disk": "16MiB"},
    "processes": [process(RAN + "echo {{thermos.ports[http]}}")],
}

DEATHS = [
    *(f"run 1 self {when} {point}" for point in ("prepare", "settle", "limit disk") for when in ("before", "after")),
    "run 1 self before isolate",
    "run 1 self before become keeper",
    *(f"keeper 1 {victims} after ledger first" for victims in ("keeper", "keeper+supervisor")),
    *(
        f"keeper 1 {victims} {when} ask a program"
        for victims in ("keeper", "keeper+supervisor")
        for when in ("before", "after")
    ),
    *(f"keeper 1 {victims} before ledger made" for victims in ("keeper", "keeper+supervisor")),
    *(f"keeper 1 {victims} after ledger made" for victims in ("keeper", "keeper+supervisor")),
    "keeper 1 keeper+supervisor before remove tree",
    *(f"keeper {nth} keeper+supervisor {when} ask a program" for nth in (2, 3, 4) for when in ("before", "after")),
]


@pytest.mark.parametrize("death", DEATHS)
def test_whoever_dies_over_a_part_the_next_one_finishes_and_nothing_is_left(program: Program, death: str) -> None:
    faults = program.base / "faults"
    faults.mkdir()
    (faults / "plan").write_text(death + "\n")
    an_image(program.base / "base.tar")
    program.environment["THERMOS_FAULTS"] = str(faults)
    file = program.write(**ALL_OF_IT)
    for _ in range(3):  # as an agent does that sees its command killed
        run = program.start("run", file, "--task-id", program.id)
        _, said = run.communicate(timeout=120)
        if run.returncode >= 0:
            break
    assert run.returncode == 0, said
    assert (faults / "fired-0").exists()
    assert "Traceback" not in said
    assert program.ran() == ["p 0"]
    assert program.status()["state"] == "SUCCESS"
    assert rows(program)["network"]["got"].startswith("10.98.")
    until(lambda: not parts_left(program), f"{parts_left(program)} are left")


def test_a_sandbox_that_was_not_finished_is_entered_by_nobody(program: Program) -> None:
    """The first process is there, and its keeper died before all was made."""
    faults = program.base / "faults"
    faults.mkdir()
    (faults / "plan").write_text("keeper 1 keeper before ledger made\n")
    program.environment["THERMOS_FAULTS"] = str(faults)
    program.begin([process("true")], sandbox={"network": "none"}).wait()
    until(lambda: program.status()["state"] == "SUCCESS")
    lines = [line.split() for line in (program.directory / "exits").read_text().splitlines()]
    firsts = [int(words[1]) for words in lines if words[0] == "first"]
    assert len(firsts) == 2
    (made,) = [int(words[1]) for words in lines if words[0] == "made"]
    assert made == firsts[1]
    until(lambda: gone(firsts[0]))
    assert [x.init for x in program.records() if isinstance(x, r.Sandboxed)] == [firsts[1]]


def test_who_takes_over_a_sandbox_knows_what_there_is_of_it(program: Program) -> None:
    """The journal may not know it yet: here it is never told by the first keeper."""
    faults = program.base / "faults"
    faults.mkdir()
    (faults / "plan").write_text("keeper 1 keeper+supervisor before prepared\n")
    program.environment["THERMOS_FAULTS"] = str(faults)
    volumes = [{"host_path": "/nowhere/at all", "container_path": "/mnt"}]
    task = [process("true")]
    sandbox = {"volumes": volumes, "network": "private"}
    program.begin(task, "--isolation", "best-effort", sandbox=sandbox).wait()
    assert (faults / "fired-0").exists()
    assert program.begin(task, "--isolation", "best-effort", sandbox=sandbox).wait() == 0
    found = rows(program)
    assert found["network"]["got"].startswith("10.98.")
    assert found["pid"]["got"] == "private"
    assert found["volume /mnt"]["got"] is None
    assert "/nowhere/at all" in found["volume /mnt"]["why_not"]


def test_what_nobody_finished_is_taken_away_by_the_next_who_comes(program: Program) -> None:
    faults = program.base / "faults"
    faults.mkdir()
    (faults / "plan").write_text("keeper 2 keeper+supervisor before ask a program\n")
    an_image(program.base / "base.tar")
    program.environment["THERMOS_FAULTS"] = str(faults)
    run = program.start("run", program.write(**ALL_OF_IT), "--task-id", program.id)
    assert run.wait() < 0
    assert parts_left(program)
    del program.environment["THERMOS_FAULTS"]
    first, program.id = program.id, f"{program.id}-next"
    run = program.start("run", program.write(**ALL_OF_IT), "--task-id", program.id)
    assert run.wait() == 0, run.stderr
    program.id = first
    until(lambda: not parts_left(program), f"{parts_left(program)} are left")


# -- it cannot be had


def test_a_disk_limit_that_cannot_be_kept_refuses_the_task_and_leaves_nothing(program: Program) -> None:
    an_image(program.base / "base.tar")
    program.root.mkdir()
    (program.root / "disks").write_text("no directory")
    run = program.start("run", program.write(**ALL_OF_IT), "--task-id", program.id)
    _, said = run.communicate()
    assert run.returncode == 69
    assert said.startswith(f"cannot limit the disk space of {program.id}: ")
    assert not program.directory.exists()
    (program.root / "disks").unlink()
    assert parts_left(program) == []
    assert program.start("run", program.write(**ALL_OF_IT), "--task-id", program.id).wait() == 0


def test_a_network_that_cannot_be_had_any_more_fails_the_process_and_says_why(program: Program) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        task = [process(RAN + "echo {{thermos.ports[http]}}", max_failures=2)]
        started = program.begin(task, "--port", f"http={port}", sandbox={"network": "private"})
        assert started.wait() == 1
    runs = program.runs()["p"]
    assert [run["state"] for run in runs] == ["FAILED", "FAILED"]
    assert runs[0]["exit"]["cause"].startswith("cannot make its sandbox: cannot publish ")
    assert f"port {port} of the host is in use" in runs[0]["exit"]["cause"]
    assert program.ran() == []
    assert parts_left(program) == []


def test_who_is_forked_before_there_is_a_sandbox_is_not_let_in_place_of_one_inside(program: Program) -> None:
    """The second process is expected while the first cannot start yet: it must not be born outside meanwhile."""
    volume = program.base / "volume"
    volume.mkdir()
    say = "readlink /proc/self/ns/pid /proc/self/ns/mnt; "
    first = process(say + AWAIT.format("go"), "first", max_failures=0, min_duration=1)
    sandbox = {"volumes": [{"host_path": str(volume), "container_path": "/mnt"}]}
    program.begin([first, process(say, "second", after=["first"])], sandbox=sandbox)
    until(lambda: program.directory.exists() and program.started())
    init = [x.init for x in program.records() if isinstance(x, r.Sandboxed)][-1]
    assert init is not None
    program.kill(program.keeper(), program.supervisor())
    program.kill(init)
    volume.rename(program.base / "moved")
    program.start("resume", program.id)
    until(lambda: any(isinstance(x, r.Refused) for x in program.records()))
    (program.base / "moved").rename(volume)
    until(lambda: len([x for x in program.records() if isinstance(x, r.Started)]) == 2)
    program.touch("go")
    until(lambda: program.status()["state"] == "SUCCESS")
    last = program.runs()["first"][-1]["run"]
    assert program.log("first", last).split() == program.log("second").split()
    assert os.readlink("/proc/self/ns/pid") not in program.log("second")
    (refused,) = {run["exit"]["cause"] for run in program.runs()["first"] if run["state"] == "FAILED"}
    assert refused.startswith("cannot make its sandbox: cannot make volume /mnt: ")


def test_what_is_asked_while_a_network_comes_up_is_heard_afterwards(program: Program) -> None:
    """The keeper waits for the network's lock, which somebody else has."""
    networks = Path(paths.NETWORKS)
    networks.mkdir(parents=True, exist_ok=True)
    with (networks / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        task = program.begin([process("exec sleep 1000")], sandbox={"network": "private"})
        exits = program.directory / "exits"
        until(lambda: exits.exists() and b"first " in exits.read_bytes())
        task.send_signal(signal.SIGTERM)
    assert task.wait() == 143
    assert program.status()["state"] == "KILLED"
    assert parts_left(program) == []


def test_what_waits_for_an_image_can_be_told_to_go_away(program: Program) -> None:
    an_image(program.base / "base.tar")
    store = program.root / "images"
    store.mkdir(parents=True, mode=0o711)
    with (store / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = program.start("run", program.write(**ALL_OF_IT), "--task-id", program.id)
        until(lambda: (store / "holders").exists())
        run.send_signal(signal.SIGTERM)
        assert run.wait() == -signal.SIGTERM
    assert not program.directory.exists()
    assert parts_left(program) == []


def test_a_setting_that_is_damaged_is_named(program: Program) -> None:
    program.begin([process(AWAIT.format("go"))])
    until(lambda: program.directory.exists() and program.started())
    program.kill(program.keeper(), program.supervisor())
    setting = program.directory / "setting"
    whole = setting.read_bytes()
    setting.write_bytes(b"")
    done = program.done("resume", program.id)
    assert done.returncode == 65
    assert f"cannot make the sandbox of {program.id}: it is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    setting.write_bytes(whole)
    program.touch("go")
    assert program.done("resume", program.id).returncode == 0


def test_what_a_task_changes_in_its_root_is_out_of_the_reach_of_others(program: Program) -> None:
    """A set-uid program that it made there would be one for everybody on the host."""
    an_image(program.base / "base.tar")
    assert program.begin([process("true")], sandbox={"rootfs": "base.tar"}).wait() == 0
    assert (program.directory / "changes").stat().st_mode & 0o777 == 0o700
    assert (program.root / "images/layers").stat().st_mode & 0o077 == 0


# -- who watches the disk


def test_who_watches_the_disk_is_replaced(program: Program) -> None:
    write = AWAIT.format("go") + "i=0; while :; do i=$((i + 1)); head -c 100000 /dev/zero > file-$i || exit 1; done"
    task = program.begin([process(write, max_failures=0)], resources={"disk": "8MiB"})
    until(lambda: program.directory.exists() and program.started())
    first = until(lambda: watchers(program))
    program.kill(*first)
    until(lambda: watchers(program) and watchers(program) != first)
    program.touch("go")
    assert task.wait() == 1
    assert "it has used up its disk space of 8 MiB" in program.status()["reason"]


def watchers(program: Program) -> list[int]:
    return [pid for pid, command in program.alive().items() if command.endswith(" watch ") and not gone(pid)]


def test_who_watches_the_disk_and_dies_at_once_each_time_is_given_up_and_that_is_shown(program: Program) -> None:
    task = program.begin([process(AWAIT.format("go"))], resources={"disk": "8MiB"})
    until(lambda: program.directory.exists() and program.started())

    def kill_the_watcher() -> bool:
        for pid in watchers(program):
            os.kill(pid, signal.SIGKILL)
        return rows(program)["disk"]["got"] is None

    until(kill_the_watcher)
    assert rows(program)["disk"]["why_not"] == "the program that watches it ends at once"
    program.touch("go")
    assert task.wait() == 0


# -- after a reboot, as far as the groups go


def test_groups_are_made_again_with_the_limits_that_they_had_last(program: Program) -> None:
    own = process(AWAIT.format("go-$THERMOS_RUN"), resources={"cpuset": "0", "pids": 40})
    other = process(AWAIT.format("go-other-$THERMOS_RUN"), "other")
    program.begin([own, other], resources={"ram": "64MiB", "pids": 50})
    until(lambda: program.directory.exists() and program.started(0) and program.started(1))
    assert program.done("update", program.id, "--ram", "128MiB", "--pids", "none").returncode == 0
    assert program.done("update", program.id, "--process", "p", "--pids", "17").returncode == 0
    group = json.loads((program.directory / "task.json").read_text())["cgroups"]
    lose_the_machine(program, group)
    program.start("resume", program.id)
    until(lambda: all(len(program.runs()[name]) == 2 for name in ("p", "other")))
    until(lambda: program.started(0, 1) and program.started(1, 1))
    assert Path(f"{group['memory']}/memory.limit_in_bytes").read_text() == f"{128 << 20}\n"
    assert Path(f"{group['pids']}/pids.max").read_text() == "max\n"
    assert Path(f"{group['pids']}/p.1/pids.max").read_text() == "17\n"
    assert Path(f"{group['cpuset']}/p.1/cpuset.cpus").read_text() == "0\n"
    for name in ("go-1", "go-other-1"):
        program.touch(name)
    until(lambda: program.status()["state"] == "SUCCESS")


def lose_the_machine(program: Program, group: dict[str, str]) -> None:
    """All processes and groups are gone, as after a reboot."""
    init = [x.init for x in program.records() if isinstance(x, r.Sandboxed)][-1]
    assert init is not None
    program.kill(program.keeper(), program.supervisor())
    program.kill(init)
    until(lambda: tree.remove_tree(group))


def test_a_group_that_can_only_be_made_elsewhere_is_where_the_task_goes_on(program: Program) -> None:
    """It was begun in a session that is no more, and resumed in another."""
    program.begin([process(AWAIT.format("go-$THERMOS_RUN"))], resources={"pids": 50})
    until(lambda: program.directory.exists() and program.started())
    file = program.directory / "task.json"
    accepted = json.loads(file.read_text())
    lose_the_machine(program, accepted["cgroups"])
    name = os.path.basename(accepted["cgroups"]["pids"])
    elsewhere = {controller: f"/sys/fs/cgroup/gone/{controller}/{name}" for controller in accepted["cgroups"]}
    file.write_text(json.dumps({**accepted, "cgroups": elsewhere}))
    program.start("resume", program.id)
    until(lambda: program.started(0, 1))
    assert json.loads(file.read_text()) == accepted
    assert Path(f"{accepted['cgroups']['pids']}/pids.max").read_text() == "50\n"
    program.touch("go-1")
    until(lambda: program.status()["state"] == "SUCCESS")


# -- a keeper that dies alone


def test_a_network_and_a_pause_outlive_a_keeper(program: Program) -> None:
    serve = (
        "exec /usr/bin/python3 -c \"import socket; s = socket.create_server(('', {{thermos.ports[http]}}))\n"
        "while True: s.accept()[0].sendall(b'hello')\""
    )
    program.begin([process(serve)], sandbox={"network": "private"})
    port = until(lambda: program.status()["ports"] if program.directory.exists() else None)["http"]
    until(lambda: answer(port) == b"hello")
    address = rows(program)["network"]["got"]
    assert program.done("pause", program.id).returncode == 0
    keeper = program.keeper()
    program.kill(keeper)
    until(lambda: program.keeper() != keeper)
    assert program.status()["paused"] is True
    assert answer(port, 0.3) is None
    assert program.done("unpause", program.id).returncode == 0
    until(lambda: answer(port) == b"hello")
    assert rows(program)["network"]["got"] == address
    assert rows(program)["pid"]["got"] == "private"
    assert program.done("kill", program.id).returncode == 0
    until(lambda: program.status()["state"] == "KILLED" and not parts_left(program))


def answer(port: int, patience: float = 5) -> bytes | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
            return connection.recv(100) or None
    except OSError:
        return None


# -- updates


@pytest.fixture
def running(program: Program) -> Iterator[Program]:
    say = RAN + AWAIT.format("go-$THERMOS_RUN") + "exit $((1 - THERMOS_RUN))"
    task = program.begin([process(say, max_failures=3)], resources={"ram": "64MiB"})
    until(lambda: program.directory.exists() and program.started())
    yield program
    for number in range(3):
        program.touch(f"go-{number}")
    until(lambda: program.status()["state"] == "SUCCESS")
    task.wait()


def asked(program: Program, **request: Any) -> dict[str, Any]:
    return control.request(str(program.directory), request)


@pytest.mark.parametrize(
    "limits",
    [
        {"cpu": -1.0},
        {"cpu": 1e308},
        {"ram": 0},
        {"ram": 1 << 70},
        {"pids": 0},
        {"cpu_weight": 0},
        {"cpuset": "0-99999999999"},
        {"cpuset": "0\n1"},
        {"io": [{"path": "/dev/null", "read": -1}]},
        {"io": 3},
        {"ram": "64MiB"},
        {"oom": "task"},
        [],
        "ram",
    ],
    ids=str,
)
def test_limits_that_make_no_sense_are_refused_whoever_asks(running: Program, limits: Any) -> None:
    supervisor = running.in_charge()
    answered = asked(running, request="update", limits=limits)
    assert answered["ok"] is False
    assert answered["why"]
    assert not [x for x in running.records() if isinstance(x, r.UpdateRequested)]
    assert running.supervisor() == supervisor


@pytest.mark.parametrize("wait", ["nan", "inf", -1])
def test_a_kill_that_is_to_wait_for_no_time_that_there_is_is_refused(running: Program, wait: Any) -> None:
    assert asked(running, request="kill", wait=wait)["ok"] is False
    assert running.status()["state"] == "ACTIVE"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_update_over_which_a_supervisor_dies_is_carried_out_by_the_next(program: Program, when: str) -> None:
    faults = program.base / "faults"
    faults.mkdir()
    (faults / "plan").write_text(f"supervisor 1 self {when} append UpdateRequested/None\n")
    program.environment["THERMOS_FAULTS"] = str(faults)
    task = program.begin([process(AWAIT.format("go"))], resources={"ram": "64MiB"})
    until(lambda: program.directory.exists() and program.started())
    program.done("update", program.id, "--ram", "128MiB")
    assert (faults / "fired-0").exists()
    group = json.loads((program.directory / "task.json").read_text())["cgroups"]["memory"]
    if when == "before":  # nobody has heard it, and who asked was told so
        assert program.done("update", program.id, "--ram", "128MiB").returncode == 0
    until(lambda: Path(f"{group}/memory.limit_in_bytes").read_text() == f"{128 << 20}\n")
    until(lambda: rows(program)["memory"]["got"].startswith("128 MiB"))
    program.touch("go")
    assert task.wait() == 0


def test_two_updates_at_once_both_hold(running: Program) -> None:
    both = [running.start("update", running.id, *words) for words in (("--ram", "96MiB"), ("--pids", "33"))]
    assert [each.wait() for each in both] == [0, 0]
    group = json.loads((running.directory / "task.json").read_text())["cgroups"]
    assert Path(f"{group['memory']}/memory.limit_in_bytes").read_text() == f"{96 << 20}\n"
    assert Path(f"{group['pids']}/pids.max").read_text() == "33\n"


def test_an_update_while_it_stands_still_holds_when_it_goes_on(running: Program) -> None:
    assert running.done("pause", running.id).returncode == 0
    assert running.done("update", running.id, "--process", "p", "--pids", "21").returncode == 0
    running.touch("go-0")
    assert running.done("unpause", running.id).returncode == 0
    until(lambda: running.started(0, 1))
    group = json.loads((running.directory / "task.json").read_text())["cgroups"]["pids"]
    assert Path(f"{group}/p.1/pids.max").read_text() == "21\n"


def test_an_update_reaches_a_run_whose_child_was_forked_before_it(program: Program) -> None:
    """What is expected to follow has its group already when the limit changes."""
    first, second = process(AWAIT.format("go"), "first"), process(AWAIT.format("on"), "second", after=["first"])
    task = program.begin([first, second], resources={"pids": 50})
    until(lambda: program.directory.exists() and program.started())
    group = json.loads((program.directory / "task.json").read_text())["cgroups"]["pids"]
    until(lambda: Path(f"{group}/second.0").exists())
    assert program.done("update", program.id, "--process", "second", "--pids", "19").returncode == 0
    program.touch("go")
    until(lambda: program.started(1))
    assert Path(f"{group}/second.0/pids.max").read_text() == "19\n"
    program.touch("on")
    assert task.wait() == 0


# -- somebody tries what there is


def test_what_a_killed_doctor_has_left_is_swept_by_the_next(program: Program) -> None:
    place = program.root / ".doctor-killed"
    for name in ("directory", "state"):
        (place / name).mkdir(parents=True)
    limit.begin(str(place / "directory"), 8 << 20, str(place / "state"), "tried", kinds=["loop"])
    assert str(place) in Path("/proc/self/mounts").read_text()
    assert program.done("doctor", "--missing").returncode == 0
    assert not list(program.root.glob(".doctor-*"))
    assert str(place) not in Path("/proc/self/mounts").read_text()


# -- programs that are asked


def test_a_program_that_hangs_is_not_waited_for_for_ever() -> None:
    program = programs.Program(["/bin/sleep", "1000"])
    pid = program.pid
    with pytest.raises(programs.Cannot, match=r"^the program that should do it took longer than 0\.1 seconds, and was"):
        program.ask({}, 0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_whose_work_must_be_done_goes_on_when_nobody_waits() -> None:
    program = programs.Program(["/bin/sleep", "1000"])
    pid = program.pid
    try:
        with pytest.raises(programs.Cannot, match=r"goes on by itself$"):
            program.ask({}, 0.1, spared=True)
        assert not gone(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_question_larger_than_a_pipe_is_asked_whole(tmp_path: Path) -> None:
    code = "import json, sys, time; time.sleep(0.05); print(len(json.load(sys.stdin)['x']))"
    assert programs.ask(["/usr/bin/python3", "-c", code], {"x": "y" * 300_000}) == 300_000
    begun = time.monotonic()
    with pytest.raises(programs.Cannot, match=r"ended with 3$"):
        programs.ask(["/bin/sh", "-c", "exit 3"], {"x": "y" * 300_000})
    assert time.monotonic() < begun + 30


def test_who_holds_an_image_is_told_from_who_does_not(tmp_path: Path) -> None:
    root = str(tmp_path)
    image = images.prepare(an_image(tmp_path / "base.tar"), root, "a-task")
    assert (tmp_path / "images/holders/a-task").is_dir()
    assert not ground.alive(root, "a-task")
    images.give_back(image, root, "a-task")
    assert not (tmp_path / "images/holders/a-task").exists()
