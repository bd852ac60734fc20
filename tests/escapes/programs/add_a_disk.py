"""Have the kernel make another disk."""

import fcntl
import os

from hostile import bait

LOOP_CTL_ADD = 0x4C80
fcntl.ioctl(os.open("/dev/loop-control", os.O_RDWR), LOOP_CTL_ADD, int(bait.number))
