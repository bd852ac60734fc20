"""Take a copy of a read-only mount by open_tree, make the copy writable, and write through it."""

import os
import struct

from hostile import bait, call

AT_FDCWD, OPEN_TREE_CLONE, AT_EMPTY_PATH, MOUNT_ATTR_RDONLY = -100, 1, 0x1000, 1
tree = call("open_tree", AT_FDCWD, bait.where.encode(), OPEN_TREE_CLONE)
call("mount_setattr", tree, b"", AT_EMPTY_PATH, struct.pack("4Q", 0, MOUNT_ATTR_RDONLY, 0, 0), 32)
os.close(os.open("written", os.O_WRONLY | os.O_CREAT, dir_fd=tree))
