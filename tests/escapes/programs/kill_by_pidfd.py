"""Kill another process of the same user by a descriptor of it."""

import os
import signal

from hostile import bait, call

call("pidfd_send_signal", os.pidfd_open(int(bait.pid)), signal.SIGKILL, 0, 0)
