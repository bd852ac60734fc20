"""Kill another process of the same user."""

import os
import signal

from hostile import bait

os.kill(int(bait.pid), signal.SIGKILL)
