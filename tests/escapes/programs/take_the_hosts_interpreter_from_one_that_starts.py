"""Get hold of the interpreter that starts processes by /proc/PID/exe of one that is about to execute its program."""

import os
import time

from hostile import hold

mine = ("1", str(os.getpid()))


def take() -> int:
    """An open descriptor of it, or -1."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or entry in mine:
            continue
        # Until it is over: what keeps others off may be gone for a few microseconds only.
        while time.monotonic() < last:
            try:
                program = os.readlink(f"/proc/{entry}/exe")
                if "python" in program:
                    return os.open(f"/proc/{entry}/exe", os.O_PATH)
                break
            except PermissionError:
                continue
            except OSError:
                break
    return -1


last = time.monotonic() + 4
while time.monotonic() < last:
    if take() >= 0:
        hold()
        break
