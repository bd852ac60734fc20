"""Make another /proc by fsopen, mounted nowhere, and write to its sys."""

import os

from hostile import bait, call

FSCONFIG_CMD_CREATE = 6
context = call("fsopen", b"proc", 0)
call("fsconfig", context, FSCONFIG_CMD_CREATE, 0, 0, 0)
proc = call("fsmount", context, 0, 0)
os.write(os.open(f"sys/{bait.name}", os.O_WRONLY, dir_fd=proc), bait.value.encode())
