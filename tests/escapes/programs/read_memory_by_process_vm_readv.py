"""Read a secret in the memory of another process of the same user by process_vm_readv."""

import ctypes
import struct

from hostile import bait, checked, libc

text = ctypes.create_string_buffer(64)
here = struct.pack("QQ", ctypes.addressof(text), 64)
there = struct.pack("QQ", int(bait.address), 64)
checked(libc.process_vm_readv(int(bait.pid), here, ctypes.c_long(1), there, ctypes.c_long(1), ctypes.c_long(0)))
print(text.value.decode())
