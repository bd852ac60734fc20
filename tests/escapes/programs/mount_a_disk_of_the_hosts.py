"""Mount a disk that the host has not mounted, through a node of its own, and write a file to it."""

import os
import stat

from hostile import bait, mount, put

os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(int(bait.major), int(bait.minor)))
os.mkdir("mounted")
mount("disk", "mounted", "ext4")
put("mounted/file", "planted-in-a-disk")
os.sync()
