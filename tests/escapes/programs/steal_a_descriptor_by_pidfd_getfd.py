"""Take an open file out of another process of the same user by pidfd_getfd, and write to it."""

import os

from hostile import bait, call

os.write(call("pidfd_getfd", os.pidfd_open(int(bait.pid)), int(bait.fd), 0), b"hostile")
