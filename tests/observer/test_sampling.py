"""Usage as the observer shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tasks_on_disk import THEN, began, exited, process, put_task

from observer.tasks import Observed, Tasks
from observer.usage import Rate, Sampler
from sandbox.disk import limit
from sandbox.usage import start_ticks
from thermos import paths
from thermos.core import records as r
from thermos.core.task import Resources, Task


def test_a_rate_is_since_the_start_and_then_since_the_sample_before() -> None:
    rate = Rate(since=100.0)
    assert rate.at(110.0, 5.0) == 0.5
    assert rate.at(112.0, 9.0) == 2.0
    assert rate.at(114.0, 9.0) == 0.0


def test_a_second_look_right_after_the_first_does_not_shorten_the_interval() -> None:
    rate = Rate(since=100.0)
    rate.at(110.0, 10.0)
    rate.at(120.0, 20.0)
    assert rate.at(120.1, 20.2) == pytest.approx(10.2 / 10.1)
    assert rate.at(120.2, 20.2) == pytest.approx(10.2 / 10.2)


def test_a_rate_over_no_time_is_unknown_and_none_is_negative() -> None:
    rate = Rate(since=100.0)
    assert rate.at(100.0, 1.0) is None
    assert rate.at(102.0, 5.0) == 2.5
    assert rate.at(104.0, 1.0) == 0.0


@pytest.fixture
def child() -> Iterator[int]:
    """A process with a child of its own, both alive."""
    script = "import subprocess, sys; p = subprocess.Popen(['sleep', '1000']); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        grandchild = int(parent.stdout.readline())
        yield parent.pid
        os.kill(grandchild, 9)


def only(root: str) -> Observed:
    (task,) = Tasks([root])
    return task


def test_without_cgroups_a_run_is_its_process_tree(root: str, child: int) -> None:
    ticks = start_ticks(child)
    assert ticks
    put_task(root, "t1", [process("web")], [*began(), _launched(), _started(child, ticks)])
    usage = Sampler().all_of(only(root))
    assert usage.processes["web"].pids == 2
    assert usage.task.pids == 2
    assert usage.task.memory is not None
    assert usage.task.memory > 1 << 20
    assert usage.task.cores is not None


def test_a_pid_that_somebody_else_has_now_is_not_taken_for_the_run(root: str, child: int) -> None:
    ticks = start_ticks(child)
    assert ticks
    put_task(root, "t1", [process("web")], [*began(), _launched(), _started(child, ticks - 1)])
    usage = Sampler().all_of(only(root))
    assert usage.processes == {}
    assert usage.task.memory is None


def _launched() -> r.Launched:
    return r.Launched(at=THEN, process=0, run=0)


def _started(pid: int, ticks: int) -> r.Started:
    return r.Started(at=THEN, process=0, run=0, pid=pid, ticks=ticks)


def fake_group(directory: Path, nanoseconds: int) -> dict[str, str]:
    """Directories with the files of version 1: reading does not tell them from the kernel's."""
    (directory / "cpuacct").mkdir(parents=True)
    (directory / "pids").mkdir()
    (directory / "cpuacct" / "cpuacct.usage").write_text(f"{nanoseconds}\n")
    (directory / "pids" / "pids.current").write_text("3\n")
    return {"cpuacct": str(directory / "cpuacct"), "pids": str(directory / "pids")}


def test_of_a_group_task_and_run_are_read_and_their_files_kept_until_it_is_over(root: str, tmp_path: Path) -> None:
    cgroups = fake_group(tmp_path / "groups", 4_000_000_000)
    leaf = Path(cgroups["cpuacct"]) / "web.0"
    leaf.mkdir()
    (leaf / "cpuacct.usage").write_text("3000000000\n")
    on_disk = put_task(root, "t1", [process("web")], [*began(), _launched(), _started(1, 1)], cgroups=cgroups)
    sampler = Sampler()
    tasks = Tasks([root], sampler.forget)
    (task,) = tasks
    before = open_files(tmp_path)
    usage = sampler.all_of(task)
    assert (usage.task.cpu, usage.task.pids, usage.processes["web"].cpu) == (4.0, 3, 3.0)
    assert open_files(tmp_path) == before + 3
    (leaf / "cpuacct.usage").write_text("3500000000\n")
    assert sampler.all_of(task).processes["web"].cpu == 3.5
    assert open_files(tmp_path) == before + 3
    on_disk.append(exited(), *_over())
    tasks.catch_up()
    assert task.ended
    assert open_files(tmp_path) == before - 1, "its group files and its journal"


def _over() -> list[r.Record]:
    return [
        r.StageEntered(at=THEN, stage="CLEANING", reason="", result="SUCCESS"),
        r.StageEntered(at=THEN, stage="FINALIZING", reason=""),
        r.StageEntered(at=THEN, stage="SUCCESS", reason=""),
    ]


def open_files(below: Path) -> int:
    """How many files below a directory this process has open for reading."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append((os.readlink(f"/proc/self/fd/{fd}"), fd))
        except OSError:
            continue
    writers = sum(_is_writer(fd) for link, fd in links if link.startswith(str(below)))
    return sum(link.startswith(str(below)) for link, _ in links) - writers


def _is_writer(fd: str) -> bool:
    flags = next(line for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines() if line.startswith("flags"))
    return bool(int(flags.split()[1], 8) & os.O_ACCMODE)


def test_a_task_whose_group_is_gone_uses_nothing_known(root: str, tmp_path: Path) -> None:
    put_task(root, "t1", records=began(), cgroups={"memory": f"{tmp_path}/none"})
    assert Sampler().task(only(root)).memory is None


def test_a_host_has_totals() -> None:
    host = Sampler().host()
    assert 0 < host.memory <= host.memory_total
    assert host.cores is not None
    assert 0 <= host.cores <= host.cores_total


def test_the_disk_space_of_a_task_with_a_limit_is_told_and_of_another_is_not(root: str, tmp_path: Path) -> None:
    sandbox = tmp_path / "limited"
    sandbox.mkdir()
    task = Task("t", (process("web"),), 1, 0, 30.0, None, Resources(disk=1 << 20), {})
    put_task(root, "limited", sandbox=str(sandbox), task=task, cgroups={})
    assert Sampler().task(only(root)).disk is None  # nobody holds a limit yet
    disk = limit.begin(str(sandbox), 1 << 20, paths.disks_dir(root), "limited", kinds=["walker"])
    try:
        (sandbox / "file").write_bytes(b"x" * 100_000)
        watched = subprocess.Popen(
            [sys.executable, "-m", "sandbox.disk", "watch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with watched as watch:
            assert watch.stdin
            assert watch.stdout
            watch.stdin.write(json.dumps(disk) + "\n")
            watch.stdin.flush()
            watch.stdout.readline()
            usage = Sampler().task(only(root))
            watch.kill()
        assert usage.disk is not None
        assert usage.disk >= 100_000
        assert usage.disk_limit == 1 << 20
        assert usage.disk_age is not None
    finally:
        limit.end(disk)
