"""Mount a file of its own over a program of the host's."""

from hostile import bait, hold, mount, put

MS_BIND = 4096
put("mine", "hostile")
mount("mine", bait.program, flags=MS_BIND)
hold()
