"""Open a file that has no name any more through the /proc/PID/fd of another process that has it open."""

import os

from hostile import bait

os.write(os.open(f"/proc/{bait.pid}/fd/{bait.fd}", os.O_WRONLY), b"hostile")
