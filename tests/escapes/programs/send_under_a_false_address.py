"""Send a packet under an address that nobody has."""

import socket
import struct

from hostile import bait

source, target = socket.inet_aton("127.66.66.66"), socket.inet_aton("127.0.0.1")
header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 35, 0, 0, 64, socket.IPPROTO_UDP, 0, source, target)
datagram = struct.pack("!HHHH", 66, int(bait.port), 15, 0) + b"hostile"
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(header + datagram, ("127.0.0.1", 0))
