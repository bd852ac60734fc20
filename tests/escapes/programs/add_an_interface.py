"""Add a bridge to the host's network."""

import fcntl
import socket

SIOCBRADDBR = 0x89A0
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), SIOCBRADDBR, b"planted\0")
