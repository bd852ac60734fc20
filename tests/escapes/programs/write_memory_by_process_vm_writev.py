"""Change the memory of another process of the same user by process_vm_writev."""

import ctypes
import struct

from hostile import bait, checked, libc

text = ctypes.create_string_buffer(b"hostile")
here = struct.pack("QQ", ctypes.addressof(text), 7)
there = struct.pack("QQ", int(bait.address), 7)
checked(libc.process_vm_writev(int(bait.pid), here, ctypes.c_long(1), there, ctypes.c_long(1), ctypes.c_long(0)))
