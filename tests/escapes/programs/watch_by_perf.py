"""Count events of its own by perf, whose bugs have made many a user root."""

import ctypes
import struct

from hostile import call, hold

SOFTWARE, CPU_CLOCK, EXCLUDE_KERNEL = 1, 0, 1 << 5
attributes = ctypes.create_string_buffer(struct.pack("IIQQQQQ", SOFTWARE, 128, CPU_CLOCK, 0, 0, 0, EXCLUDE_KERNEL), 128)
call("perf_event_open", attributes, 0, -1, -1, 0)
hold()
