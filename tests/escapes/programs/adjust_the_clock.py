"""Adjust the host's clock."""

import ctypes
import struct

from hostile import bait, checked, libc

ADJ_ESTERROR = 8
state = ctypes.create_string_buffer(struct.pack("I4xqqqq", ADJ_ESTERROR, 0, 0, 0, int(bait.error)), 256)
checked(libc.adjtimex(state))
