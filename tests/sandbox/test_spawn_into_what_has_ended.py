"""Whoever is forked for a sandbox whose first process has just ended: that passes, and is no fault of the program's."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from sandbox import spawn, syscalls

pytestmark = pytest.mark.root


def test_a_sandbox_that_ended_a_moment_ago_is_a_lack_of_this_moment(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "infinity"]) as first:
        init = os.pidfd_open(first.pid)
        first.kill()
    never = tmp_path / "never"
    place = spawn.Place(str(tmp_path), "logs", init=init, enter=syscalls.CLONE_NEWNS)
    child = spawn.fork(place, lambda step, number, text: never.write_text(f"{step}|{number}|{text}"))
    try:
        child.go(spawn.Order(["/bin/true"], {}))
        with pytest.raises(spawn.Failure) as failed:
            child.wait()
    finally:
        os.waitpid(child.pid, 0)
        os.close(init)
    assert (failed.value.step, failed.value.errno) == ("enter its namespaces", errno.EAGAIN)
    assert never.read_text() == f"enter its namespaces|{errno.EAGAIN}|its first process has ended"
