"""Enter a network namespace that is kept as a file, and change something in it."""

import fcntl
import os
import socket
import struct

from hostile import bait, checked, libc

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
checked(libc.setns(os.open(bait.kept, os.O_RDONLY), 0))
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
