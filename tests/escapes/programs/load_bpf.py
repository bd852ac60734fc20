"""Make a BPF map: the beginning of any program in the kernel."""

import ctypes
import struct

from hostile import call, hold

BPF_MAP_CREATE, ARRAY = 0, 2
attributes = ctypes.create_string_buffer(struct.pack("IIII", ARRAY, 4, 8, 1), 128)
call("bpf", BPF_MAP_CREATE, attributes, 128)
hold()
