"""Take 128 MiB of memory by children that each take little."""

import os

from hostile import hold

for number in range(8):
    child = os.fork()
    if not child:
        taken = b"x" * (16 << 20)
        open(f"taken-{number}", "w").close()
        hold(ready=False)
        os._exit(0)
    while not os.path.exists(f"taken-{number}") and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG) is None:
        pass
hold()
