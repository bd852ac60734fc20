"""Runs as the first process of a pid namespace of its own: gives the pid of a dead run to a stranger.

Prints what came of it as JSON; tests/end_to_end/test_faults_identity.py judges it. The argument: a directory, and the
isolation mode.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[level]) for level in (1, 2))
from deadline import until
from real_program import AWAIT, RAN, Program, gone

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def main(base: str, mode: str) -> None:
    program = Program(Path(base))
    program.id = f"reused-{mode}"
    script = RAN + "[ $THERMOS_RUN -gt 0 ] || { " + AWAIT.format("go") + "exit 7; }"
    program.begin([{"name": "first", "cmdline": script, "min_duration": 0}], "--isolation", mode)
    pid = until(program.started, "it did not start").pid
    until(program.ran, "it did not begin")
    program.kill(program.keeper(), program.supervisor())
    os.kill(pid, signal.SIGKILL)
    until(lambda: reaped(pid), "it is still there")
    stranger = born_as(pid)
    resumed = program.start("resume", program.id)
    until(lambda: "first 1" in program.ran(), "it did not run again")
    _, said = resumed.communicate()
    alive = not gone(stranger.pid)
    stranger.kill()
    print(
        json.dumps(
            {
                "pid": pid,
                "alive": alive,
                "died of": -stranger.wait(),
                "exit status": resumed.returncode,
                "said": said,
                "ran": program.ran(),
                "runs": program.runs()["first"],
            }
        )
    )


def reaped(pid: int) -> bool:
    """Whether a process is gone for good. We are init here, and orphans are ours to reap."""
    reap()
    return not Path(f"/proc/{pid}").exists()


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def born_as(pid: int) -> subprocess.Popen[bytes]:
    """A process that was not there before, with a pid of our choice, in a session and a group of that number."""

    def born() -> subprocess.Popen[bytes] | None:
        reap()
        LAST_PID.write_text(str(pid - 1))
        stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        if stranger.pid == pid:
            return stranger
        stranger.kill()  # the number is not free yet: what is left of the dead one's group holds it
        stranger.wait()
        return None

    stranger = until(born, f"nobody was born as {pid}")
    assert stranger is not None
    return stranger


if __name__ == "__main__":
    main(*sys.argv[1:])
