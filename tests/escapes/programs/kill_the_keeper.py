"""Look for the process that started it, and kill it."""

import os
import signal
import time

from hostile import bait, hold

last = time.monotonic() + 2
while not os.path.exists("go") and time.monotonic() < last:
    time.sleep(0.01)
for pid in filter(str.isdigit, os.listdir("/proc")):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        if f"thermos.runtime.{bait.part}".encode() in file.read():
            os.kill(int(pid), signal.SIGKILL)
if os.getppid() > 1 and bait.part == "keeper":
    os.kill(os.getppid(), signal.SIGKILL)
hold()
