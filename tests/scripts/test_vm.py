"""scripts/vm: the command's output and exit status come out, and nothing stays."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from deadline import DEADLINE, until

pytestmark = pytest.mark.root

VM = Path(__file__).parents[2] / "scripts" / "vm"


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if not shutil.which("linux.uml"):
        pytest.skip("needs linux.uml: apt-get install user-mode-linux")


def machines(mark: str) -> list[int]:
    """Pids of the processes of a machine that was started with this in its environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # gone meanwhile
    return found


def test_output_errors_arguments_directory_and_exit_status_come_out(tmp_path: Path) -> None:
    script = 'seq 20000; echo "$1" >&2; pwd; stat -f -c %T /sys/fs/cgroup; touch written; exit 7'
    command = [str(VM), "--", "sh", "-c", script, "sh", "two  words"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=2 * DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (7, "two  words\n")
    assert done.stdout.splitlines() == [*map(str, range(1, 20001)), str(tmp_path), "cgroup2fs"]
    assert not (tmp_path / "written").exists()


def test_a_command_out_of_time_gives_124_and_what_it_had_said(tmp_path: Path) -> None:
    environment = {**os.environ, "MARK": str(tmp_path)}
    command = [str(VM), "--timeout", "10", "--", "sh", "-c", "echo early; exec sleep 1000"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2 * DEADLINE, check=False)
    assert (done.returncode, done.stdout) == (124, "early\n")
    until(lambda: not machines(str(tmp_path)), "the machine is still there")


def test_a_killed_vm_takes_its_machine_with_it(tmp_path: Path) -> None:
    environment = {**os.environ, "MARK": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [str(VM), "--", "sh", "-c", "echo up; exec sleep 1000"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as vm:
        assert vm.stdout is not None
        assert vm.stdout.readline() == "up\n"
        assert len(machines(str(tmp_path))) > 1
        vm.kill()
    until(lambda: not machines(str(tmp_path)), "the machine is still there")


HALTED = """#!/bin/bash
for word; do case $word in con1=*) out=${word##*:} ;; con3=*) status=${word##*:} ;; esac; done
echo said >&"$out"; echo 7 >&"$status"
exec sleep 1000
"""


def test_a_kernel_that_has_halted_and_does_not_go_away_is_not_waited_for(tmp_path: Path) -> None:
    """As user-mode-linux does, once in hundreds of times: here by one that always does."""
    kernel = tmp_path / "linux.uml"
    kernel.write_text(HALTED)
    kernel.chmod(0o755)
    environment = {**os.environ, "MARK": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [str(VM), "--timeout", "1000", "--", "true"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "said\n", "")
    until(lambda: not machines(str(tmp_path)), "the kernel is still there")
