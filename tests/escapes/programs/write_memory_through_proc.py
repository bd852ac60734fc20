"""Change the memory of another process of the same user through its /proc/PID/mem."""

import os

from hostile import bait

os.pwrite(os.open(f"/proc/{bait.pid}/mem", os.O_RDWR), b"hostile", int(bait.address))
