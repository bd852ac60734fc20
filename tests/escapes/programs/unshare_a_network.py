"""Make a network of its own, and be its administrator: add a bridge."""

import fcntl
import socket

from hostile import checked, hold, libc

CLONE_NEWNET, SIOCBRADDBR = 0x40000000, 0x89A0
checked(libc.unshare(CLONE_NEWNET))
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), SIOCBRADDBR, b"planted\0")
hold()
