"""Make a device node of a disk, and write to the disk."""

import os
import stat

from hostile import bait

os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(int(bait.major), int(bait.minor)))
fd = os.open("disk", os.O_WRONLY)
os.pwrite(fd, b"hostile" * 512, 8192)
os.fsync(fd)
