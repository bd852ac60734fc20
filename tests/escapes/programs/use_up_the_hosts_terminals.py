"""Open terminals until there are no more, or 64 of them."""

import os

from hostile import hold

held = []
for _ in range(64):
    try:
        held.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        break
hold()
