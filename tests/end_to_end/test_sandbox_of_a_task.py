"""What a task file may ask of its sandbox, in the real program: it gets it, or the task is refused with the reason."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import tarfile
from pathlib import Path

import pytest
from deadline import until
from real_program import AWAIT, Program, networks, process, ran, rows

pytestmark = pytest.mark.root


# -- what is seen


def test_the_hosts_files_can_be_read_and_nothing_but_the_sandbox_and_tmp_be_written(program: Program) -> None:
    say = "cat /etc/hostname > copy; touch /tmp/a /var/tmp/a /dev/shm/a here; touch /etc/x /usr/x /root/x /var/lib/x"
    assert ran(program, process(f"{say}; true")) == 0
    assert (program.sandbox / "here").exists()
    assert (program.sandbox / "copy").read_text() == Path("/etc/hostname").read_text()
    assert program.log("p", stream="stderr").count("Read-only file system") == 4
    assert not Path("/tmp/a").exists()
    assert rows(program)["read-only root"]["got"] == "private"


def test_a_task_that_says_so_may_write_where_its_user_may(program: Program) -> None:
    outside = Path(f"/srv/{program.id}")
    outside.mkdir()
    try:
        say = f"touch {outside}/x; touch /sys/x; echo 1 > /proc/sys/vm/swappiness"
        assert ran(program, process(say), sandbox={"read_only": False}) == 1
        assert (outside / "x").exists()
        assert program.log("p", stream="stderr").count("Read-only file system") == 2
    finally:
        shutil.rmtree(outside)


def test_volumes_are_seen_where_the_file_says_and_those_to_be_read_cannot_be_written(program: Program) -> None:
    data = program.base / "data"
    data.mkdir()
    (data / "in").write_text("from the host\n")
    volumes = [
        {"host_path": str(data), "container_path": "/mnt", "mode": "RW"},
        {"host_path": str(data), "container_path": "/opt", "mode": "RO"},
        {"host_path": str(data / "in"), "container_path": "/etc/motd"},
    ]
    say = "cat /mnt/in; echo out > /mnt/out; echo no > /opt/no || echo refused; cat /etc/motd"
    assert ran(program, process(say), sandbox={"volumes": volumes}) == 0
    assert program.log("p").splitlines() == ["from the host", "refused", "from the host"]
    assert (data / "out").read_text() == "out\n"
    assert rows(program)["volume /mnt"] == {
        "what": "volume /mnt",
        "asked": f"{data} RW",
        "got": f"{data} RW",
        "why_not": None,
    }


def test_a_volume_that_is_not_there_is_refused_before_anything_starts(program: Program) -> None:
    file = program.base / "task.yaml"
    file.write_text(
        "name: t\nsandbox:\n  volumes:\n  - {host_path: /srv, container_path: /srv}\n"
        "  - {host_path: /nowhere/at/all, container_path: /mnt}\nprocesses:\n- {name: p, cmdline: touch ran}\n"
    )
    done = program.done("run", str(file), "--task-id", program.id)
    assert done.returncode == 69
    assert done.stderr.startswith(f"{file}:5:5: cannot enforce sandbox.volumes (/mnt): ")
    assert "/nowhere/at/all" in done.stderr
    assert not program.directory.exists()


def test_what_best_effort_cannot_have_is_shown_and_the_task_runs(program: Program) -> None:
    volumes = [{"host_path": "/nowhere/at/all", "container_path": "/mnt"}]
    started = program.begin([process("true")], "--isolation", "best-effort", sandbox={"volumes": volumes})
    assert started.wait() == 0
    row = rows(program)["volume /mnt"]
    assert row["got"] is None
    assert "/nowhere/at/all" in row["why_not"]


def test_names_sizes_and_namespaces_are_as_the_file_says(program: Program) -> None:
    asked = {"hostname": "box", "tmp": "3MiB", "shm": "2MiB", "namespaces": {"ipc": False, "time": True}}
    say = "hostname; df --output=size /tmp /dev/shm | grep -v 1K; readlink /proc/self/ns/ipc /proc/self/ns/time"
    assert ran(program, process(say), sandbox=asked) == 0
    name, tmp, shm, ipc, time = program.log("p").split()
    assert (name, tmp, shm) == ("box", "3072", "2048")
    assert ipc == os.readlink("/proc/self/ns/ipc")
    assert time != os.readlink("/proc/self/ns/time")


def test_a_user_namespace_gives_ids_that_are_nobodys_outside_and_files_that_are_the_users(program: Program) -> None:
    say = "id -u; echo mine > file; " + AWAIT.format("go")
    task = program.begin([process(say)], sandbox={"namespaces": {"user": True}})
    until(lambda: (program.sandbox / "file").exists())
    pid = program.runs()["p"][0]["pid"]
    assert os.stat(f"/proc/{pid}").st_uid >= 65536
    assert (program.sandbox / "file").stat().st_uid == 0
    program.touch("go")
    assert task.wait() == 0
    assert program.log("p") == "0\n"


# -- roots


def an_image(path: Path) -> str:
    """A tarball with what a shell needs, taken from this host, and a file of its own."""
    programs = ["/bin/bash", "/bin/cat", "/bin/ls", "/bin/mkdir", "/usr/bin/touch"]
    needed = {os.path.realpath(program): program for program in programs}
    libraries: set[str] = set()
    for program in programs:
        listed = os.popen(f"ldd {program}").read().split()
        libraries |= {word for word in listed if word.startswith("/")}
    with tarfile.open(path, "w") as archive:
        for source, name in [*needed.items(), *((os.path.realpath(name), name) for name in sorted(libraries))]:
            archive.add(source, name.lstrip("/"), recursive=False)
        own = tarfile.TarInfo("etc/own")
        own.size = 5
        archive.addfile(own, io.BytesIO(b"mine\n"))
    return str(path)


def test_a_root_from_a_tarball_is_shared_and_changes_are_the_tasks_own(program: Program) -> None:
    image = an_image(program.base / "base.tar")
    say = "cat /etc/own; echo changed > /etc/own; mkdir /made; touch here; ls /"
    assert ran(program, process(say), sandbox={"rootfs": image}) == 0
    assert program.log("p").splitlines()[0] == "mine"
    assert "made" in program.log("p").splitlines()
    assert "home" not in program.log("p").splitlines()
    assert (program.sandbox / "here").exists()
    (lower,) = list(program.root.glob("images/layers/*/root/etc/own")) or list(program.root.rglob("images/**/etc/own"))
    assert lower.read_text() == "mine\n"
    assert (program.directory / "changes/upper/etc/own").read_text() == "changed\n"
    assert rows(program)["root"]["got"] == image


def test_a_rootfs_that_cannot_be_read_is_refused_with_the_reason(program: Program) -> None:
    bad = program.base / "bad.tar"
    bad.write_bytes(b"no archive at all" * 100)
    started = program.begin([process("true")], sandbox={"rootfs": str(bad)})
    _, err = started.communicate()
    assert started.returncode == 69
    assert ": cannot use the image " in err
    assert not program.directory.exists()


# -- networks


def test_a_task_without_a_network_has_but_its_own_loopback(program: Program) -> None:
    say = "cat /proc/net/dev | grep -c :; exec 3<>/dev/tcp/127.0.0.1/1 || echo refused"
    assert ran(program, process(say), sandbox={"network": "none"}) == 0
    assert program.log("p").split() == ["1", "refused"]


def test_a_private_network_publishes_the_tasks_ports_and_is_gone_with_it(program: Program) -> None:
    serve = (
        "exec /usr/bin/python3 -c \"import socket; s = socket.create_server(('', {{thermos.ports[http]}})); "
        "c = s.accept()[0]; c.sendall(b'hello')\""
    )
    task = program.begin([process(serve)], sandbox={"network": "private"}, resources={"egress": "50Mbit"})
    port = until(lambda: program.status()["ports"] if program.directory.exists() else None)["http"]
    assert until(lambda: answer(port)) == b"hello"
    assert task.wait() == 0
    got = rows(program)["network"]["got"]
    assert got.startswith("10.98.")
    assert networks(program) == []


def answer(port: int) -> bytes | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(100) or None
    except OSError:
        return None


# -- what may be done


def test_privileges_are_those_of_the_file(program: Program) -> None:
    first = process(
        "ulimit -n; nice; cat /proc/self/oom_score_adj; grep -E 'CapEff|Cpus_allowed_list' /proc/self/status",
        capabilities=["NET_BIND_SERVICE"],
        rlimits={"nofile": 77},
        nice=7,
        oom_score_adj=300,
        affinity="0",
        user="nobody",
    )
    assert ran(program, first) == 0
    said = program.log("p").split()
    assert said == ["77", "7", "300", "CapEff:", "0000000000000400", "Cpus_allowed_list:", "0"]
    assert rows(program)["nice of p"]["got"] == "7"


def test_by_default_there_are_few_capabilities_and_many_system_calls_are_not_there(program: Program) -> None:
    say = "grep -E 'Seccomp:|NoNewPrivs|CapBnd' /proc/self/status; unshare -m true || echo refused; "
    say += "dmesg >&2 || echo unread"
    assert ran(program, process(say)) == 0
    assert program.log("p").split() == [
        *("CapBnd:", "00000000000005fb", "NoNewPrivs:", "1", "Seccomp:", "2"),
        *("refused", "unread"),
    ]


def test_a_profile_of_system_calls_is_that_of_the_file(program: Program) -> None:
    profile = program.base / "profile.json"
    calls = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}))
    assert ran(program, process("mkdir x || echo refused"), sandbox={"seccomp": "profile.json"}) == 0
    assert program.log("p") == "refused\n"


def test_a_profile_that_makes_no_sense_is_refused_with_its_place(program: Program) -> None:
    (program.base / "profile.json").write_text('{"defaultAction": "SCMP_ACT_WHAT"}')
    started = program.begin([process("true")], sandbox={"seccomp": "profile.json"})
    _, err = started.communicate()
    assert started.returncode == 65
    assert ":1:38: cannot use sandbox.seccomp.defaultAction: 'SCMP_ACT_WHAT' is not one of " in err


def test_what_the_keepers_starter_has_open_or_in_its_environment_does_not_reach_a_process(program: Program) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    program.environment["SECRET_OF_THE_AGENT"] = "hunter2"
    try:
        task = program.begin([process("ls /proc/self/fd | wc -l; env")], pass_fds=(writer,))
        assert task.wait() == 0
    finally:
        os.close(reader)
        os.close(writer)
    count, *environment = program.log("p").splitlines()
    assert int(count) == 4  # 0, 1, 2 and the one that lists
    assert not [line for line in environment if "hunter2" in line]


# -- while it runs


def test_limits_of_a_running_task_are_changed_and_those_that_cannot_be_had_stay(program: Program) -> None:
    waits = process(AWAIT.format("go"))
    task = program.begin([waits], resources={"ram": "64MiB", "pids": 50})
    until(lambda: program.directory.exists() and program.runs()["p"])
    done = program.done("update", program.id, "--ram", "128MiB", "--pids", "none", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    changed = {row["what"]: row["got"] for row in json.loads(done.stdout)}
    assert changed["memory"].startswith("128 MiB")
    assert changed["pids"].startswith("no limit")
    assert rows(program)["memory"]["got"] == changed["memory"]
    refused = program.done("update", program.id, "--ram", "lots")
    assert refused.returncode == 2
    assert refused.stderr.startswith("cannot use --ram lots: expected bytes")
    assert program.done("update", program.id).returncode == 2
    assert program.done("update", program.id, "--process", "nobody", "--ram", "1MiB").returncode == 1
    own = program.done("update", program.id, "--process", "p", "--cpu", "0.5")
    assert own.stdout.startswith("cpu of p: 0.5 cores")
    program.touch("go")
    assert task.wait() == 0
    assert "cannot update" in program.done("update", program.id, "--ram", "1MiB").stderr


def test_a_process_that_runs_again_has_the_limits_it_was_given(program: Program) -> None:
    say = "cat /proc/self/cgroup > /dev/null; " + AWAIT.format("go-$THERMOS_RUN") + "exit $((1 - THERMOS_RUN))"
    task = program.begin([process(say, max_failures=2)])
    until(lambda: program.directory.exists() and program.runs()["p"])
    assert program.done("update", program.id, "--process", "p", "--pids", "17").returncode == 0
    program.touch("go-0")
    until(lambda: len(program.runs()["p"]) == 2 and program.runs()["p"][1]["state"] == "RUNNING")
    groups = json.loads((program.directory / "task.json").read_text())["cgroups"]
    group = groups.get("pids") or groups["unified"]
    assert Path(f"{group}/p.1/pids.max").read_text() == "17\n"
    program.touch("go-1")
    assert task.wait() == 0


def test_a_paused_task_stands_still_and_a_kill_ends_it_all_the_same(program: Program) -> None:
    ticks = process("i=0; while :; do i=$((i + 1)); echo $i > new; mv new tick; sleep 0.01; done")
    task = program.begin([ticks])
    until(lambda: (program.sandbox / "tick").exists())
    assert program.done("pause", program.id).returncode == 0
    assert program.status()["paused"] is True
    still = until(lambda: stands_still(program.sandbox / "tick"))
    assert program.done("unpause", program.id).returncode == 0
    until(lambda: (program.sandbox / "tick").read_text() != still)
    assert program.done("pause", program.id).returncode == 0
    assert program.done("pause", program.id).returncode == 0
    assert program.done("kill", program.id).returncode == 0
    assert task.wait() == 143
    assert "the task has ended" in program.done("pause", program.id).stderr


def stands_still(path: Path) -> str | None:
    """What a file holds, if a frozen group is what its writer is in."""
    before = path.read_text()
    return before if before == path.read_text() else None


# -- a lack of memory

HOG = "python3 -c \"x = b'x' * (1 << 30)\""


def test_a_lack_of_memory_takes_the_whole_run_where_the_file_says_so(program: Program) -> None:
    first = process(f"{HOG} & wait; echo survived; sleep 1000", "first", max_failures=1)
    second = process("sleep 1; echo survived", "second")
    assert ran(program, first, second, resources={"ram": "80MiB", "oom": "run"}) == 1
    assert program.runs()["first"][0]["exit"]["oom"] is True
    assert program.log("first") == ""


def test_a_lack_of_memory_takes_one_process_where_the_file_says_nothing(program: Program) -> None:
    assert ran(program, process(f"{HOG} & wait; echo survived"), resources={"ram": "80MiB"}) == 0
    assert program.log("p") == "survived\n"


def test_a_lack_of_memory_takes_everything_of_the_task_where_the_file_says_so(program: Program) -> None:
    first = process(f"sleep 0.5; {HOG} & wait; sleep 1000", "first")
    second = process("sleep 1000", "second")
    assert ran(program, first, second, resources={"ram": "80MiB", "oom": "task"}) == 1
    assert [program.runs()[name][0]["exit"]["oom"] for name in ("first", "second")] == [True, True]


# -- disk space


def test_a_task_over_its_disk_limit_ends_and_its_files_stay(program: Program) -> None:
    write = "i=0; while :; do i=$((i + 1)); head -c 100000 /dev/zero > file-$i || exit 1; done"
    task = program.begin([process(write, max_failures=0)], resources={"disk": "8MiB"})
    assert task.wait() == 1
    status = program.status()
    assert status["state"] == "FAILED"
    assert "it has used up its disk space of 8 MiB" in status["reason"]
    assert (program.sandbox / "file-1").stat().st_size == 100000
    assert program.log("p") == ""
    assert str(program.base) not in Path("/proc/mounts").read_text()
    assert rows(program)["disk"]["got"].startswith("8 MiB (")
