"""Take 128 MiB of memory as a file that is nobody's memory."""

import os

from hostile import hold

fd = os.memfd_create("taken")
for _ in range(128):
    os.write(fd, b"x" * (1 << 20))
hold()
