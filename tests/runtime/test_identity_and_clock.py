"""Who a process is, how it ended for those who are not its parent, and what time it is."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from deadline import until

from sandbox import syscalls
from thermos.runtime import clock, identity


def test_the_boot_id_is_the_kernels() -> None:
    assert identity.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_start_time_is_that_of_one_process_for_all_its_life() -> None:
    mine = identity.ticks(os.getpid())
    assert mine is not None
    assert mine == identity.ticks(os.getpid())
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as other:
        theirs = identity.ticks(other.pid)
        assert theirs is not None
        assert theirs > mine


def test_a_process_that_is_gone_has_none() -> None:
    """RC-7 and RC-8: of a pid that nobody has there is nothing to say, and no error."""
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    assert identity.ticks(process.pid) is None
    assert identity.zombie_status(process.pid, 0) is None


def test_a_name_with_anything_in_it_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE) as process:
        until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "a) R 1 (b\n")
        started = identity.ticks(process.pid)
        assert started is not None
        assert abs(started / os.sysconf("SC_CLK_TCK") - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60


@pytest.mark.root
@pytest.mark.parametrize(("script", "status"), [("exit 7", 7 << 8), ("kill -KILL $$", 9), ("exit 0", 0)])
def test_a_zombies_status_is_known_while_it_is_one_and_its_pidfds_after(script: str, status: int) -> None:
    process = subprocess.Popen(["/bin/sh", "-c", f"read x; {script}"], stdin=subprocess.PIPE)
    started = identity.ticks(process.pid)
    assert started is not None
    assert identity.zombie_status(process.pid, started) is None
    pidfd = os.pidfd_open(process.pid)
    assert syscalls.pidfd_exit_status(pidfd) is None
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identity.zombie_status(process.pid, started) == status
    assert identity.zombie_status(process.pid, started + 1) is None  # another process had that number
    process.wait()
    assert identity.zombie_status(process.pid, started) is None
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15):
        assert syscalls.pidfd_exit_status(pidfd) == status
    os.close(pidfd)


@pytest.mark.root
def test_a_plain_user_knows_the_status_of_its_own_zombies_and_no_others() -> None:
    """Of others' the kernel shows 0, and that must not be taken for success."""

    def zombie(uid: int, script: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["/bin/sh", "-c", script], user=uid, group=uid, extra_groups=[])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    zombies = [zombie(0, "exit 0"), zombie(0, "exit 7"), zombie(65534, "exit 0"), zombie(65534, "exit 7")]
    ticks = [identity.ticks(process.pid) or 0 for process in zombies]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            seen = [identity.zombie_status(one.pid, began) for one, began in zip(zombies, ticks, strict=True)]
            os.write(writer, repr(seen).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    for process in zombies:
        process.wait()
    os.close(writer)
    with os.fdopen(reader) as told:
        assert told.read() == repr([None, None, 0, 7 << 8])


def test_time_is_the_date_and_never_runs_backwards_over_a_reboot() -> None:
    assert abs(clock.since_boot() + clock.fresh_epoch(0) - time.time()) < 5
    later = time.time() + 1000
    epoch = clock.fresh_epoch(later)
    assert clock.since_boot() + epoch >= later
