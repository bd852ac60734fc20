"""Be told by fanotify which files anybody on the host opens."""

import ctypes
import os
import struct
import time

from hostile import checked, libc

AT_FDCWD, FAN_NONBLOCK, FAN_MARK_ADD, FAN_MARK_FILESYSTEM, FAN_OPEN = -100, 2, 1, 0x100, 0x20
group = checked(libc.fanotify_init(FAN_NONBLOCK, os.O_RDONLY))
checked(libc.fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, ctypes.c_uint64(FAN_OPEN), AT_FDCWD, b"."))
last = time.monotonic() + 2
while time.monotonic() < last:
    try:
        events = os.read(group, 24 * 64)
    except BlockingIOError:
        time.sleep(0.01)
        continue
    for offset in range(0, len(events), 24):
        (fd,) = struct.unpack_from("i", events, offset + 16)
        name = os.readlink(f"/proc/self/fd/{fd}")
        os.close(fd)
        if "/bait/" in name:
            print(name, flush=True)
            os._exit(0)
