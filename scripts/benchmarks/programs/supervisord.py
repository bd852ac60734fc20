"""supervisord (supervisor): keeps processes running, in Python too."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from benchmarks.commands import DEADLINE, until
from benchmarks.kind import Place
from benchmarks.processes import children

NAME, PACKAGE = "supervisord", "supervisor"

_CONFIG = """\
[supervisord]
nodaemon = true
user = root
directory = {directory}
childlogdir = {directory}
logfile = {directory}/supervisord.log
pidfile = {directory}/supervisord.pid
[unix_http_server]
file = {directory}/supervisord.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:sleep]
command = sleep infinity
numprocs = {count}
process_name = sleep-%(process_num)d
"""


@contextmanager
def running(count: int, place: Place) -> Generator[set[int]]:
    """supervisord with that many `sleep` running, until the end of the block. Gives its pid."""
    config = place.directory / "supervisord.conf"
    config.write_text(_CONFIG.format(directory=place.directory, count=count))
    argv = [NAME, "-c", str(config)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as supervisord:
        try:
            until(f"supervisord has started {count} processes", lambda: len(children(supervisord.pid)) == count)
            yield {supervisord.pid}
        finally:
            supervisord.terminate()
            supervisord.wait(DEADLINE)
