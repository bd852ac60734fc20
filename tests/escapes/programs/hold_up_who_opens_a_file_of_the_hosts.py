"""Take a lease of a file that may only be read: whoever opens it next has to wait."""

import fcntl
import os
import signal

from hostile import bait, hold

signal.signal(signal.SIGIO, signal.SIG_IGN)  # what asks for it back
fd = os.open(bait.file, os.O_RDONLY)
try:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
finally:
    hold()
