"""Send what others send somewhere else: add a route by netlink."""

import os
import socket
import struct

RTM_NEWROUTE, CREATE, RTA_DST, RTA_OIF = 24, 0x405, 1, 4
route = struct.pack("BBBBBBBBI", socket.AF_INET, 24, 0, 0, 254, 3, 253, 1, 0)
route += struct.pack("HH4s", 8, RTA_DST, socket.inet_aton("10.66.66.0"))
route += struct.pack("HHI", 8, RTA_OIF, socket.if_nametoindex("lo"))
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
netlink.send(struct.pack("IHHII", 16 + len(route), RTM_NEWROUTE, CREATE, 1, 0) + route)
(answer,) = struct.unpack_from("i", netlink.recv(4096), 16)
print(os.strerror(-answer))
