"""Kill every process that it may kill."""

import os
import signal

os.kill(-1, signal.SIGKILL)
