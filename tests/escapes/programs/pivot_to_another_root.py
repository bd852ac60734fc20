"""Make a mount of its own the root, and reach the old one below it."""

import os

from hostile import bait, call, checked, libc, mount, put

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 16384, 1 << 18
checked(libc.unshare(CLONE_NEWNS))
mount("none", "/", flags=MS_REC | MS_PRIVATE)
os.mkdir("new")
mount("tmpfs", "new", "tmpfs")
os.mkdir("new/old")
call("pivot_root", b"new", b"new/old")
put(f"/old{bait.file}", "hostile")
