"""Write to a disk through its node in /dev."""

import os

from hostile import bait

fd = os.open(bait.device, os.O_WRONLY)
os.pwrite(fd, b"hostile" * 512, 8192)
os.fsync(fd)
