"""Name another process as the owner of a socket, and have the kernel kill it when there is something to read."""

import fcntl
import os
import signal
import socket

from hostile import bait

F_SETSIG = 10
ours, theirs = socket.socketpair()
fcntl.fcntl(ours, F_SETSIG, signal.SIGKILL)
fcntl.fcntl(ours, fcntl.F_SETOWN, int(bait.pid))
fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
theirs.send(b"x")
