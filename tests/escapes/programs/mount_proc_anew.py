"""Mount another /proc, which nothing guards, and write to its sys."""

import os

from hostile import bait, mount, put

os.mkdir("proc")
mount("proc", "proc", "proc")
put(f"proc/sys/{bait.name}", bait.value, 0)
