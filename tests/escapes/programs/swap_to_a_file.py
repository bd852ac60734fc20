"""Have the host keep its memory in a file of the program's."""

import os
import struct

from hostile import bait, checked, libc

PAGE, PAGES = os.sysconf("SC_PAGE_SIZE"), 64
header = bytes(1024) + struct.pack("III", 1, PAGES - 1, 0)
header += bytes(PAGE - 10 - len(header)) + b"SWAPSPACE2"
with open(bait.name, "wb") as file:
    file.write(header + bytes(PAGE * (PAGES - 1)))
    os.fsync(file.fileno())
os.chmod(bait.name, 0o600)
checked(libc.swapon(bait.name.encode(), 0))
