"""Add an interface whose packets come from this program."""

import fcntl
import os
import struct

from hostile import hold

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"planted", IFF_TUN | IFF_NO_PI))
hold()
