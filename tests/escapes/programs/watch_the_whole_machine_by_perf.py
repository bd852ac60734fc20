"""Sample what all processes of a processor do by perf."""

import ctypes
import struct

from hostile import call, hold

SOFTWARE, CPU_CLOCK = 1, 0
attributes = ctypes.create_string_buffer(struct.pack("IIQQQQQ", SOFTWARE, 128, CPU_CLOCK, 0, 0, 0, 0), 128)
call("perf_event_open", attributes, -1, 0, -1, 0)
hold()
