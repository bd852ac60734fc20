"""Take the read-only attribute off every mount by the newer call, mount_setattr."""

import struct

from hostile import bait, call, put

AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = -100, 0x8000, 1
for where in (b"/", bait.where.encode()):
    try:
        call("mount_setattr", AT_FDCWD, where, AT_RECURSIVE, struct.pack("4Q", 0, MOUNT_ATTR_RDONLY, 0, 0), 32)
    except OSError as error:
        print(error)
put(f"{bait.where}/written", "hostile")
