"""Mount the kernel's tracing files, and write to them."""

import os

from hostile import bait, mount, put

os.mkdir("tracing")
mount("none", "tracing", "tracefs")
put("tracing/trace_marker", bait.marker, 0)
