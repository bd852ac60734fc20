"""Take an address for the host."""

import fcntl
import socket
import struct

SIOCSIFADDR = 0x8916
address = struct.pack("16sHH4s8x", b"lo:6", socket.AF_INET, 0, socket.inet_aton("10.66.66.66"))
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), SIOCSIFADDR, address)
