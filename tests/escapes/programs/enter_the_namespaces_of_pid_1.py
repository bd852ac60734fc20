"""Enter the mount namespace of process 1 and write there."""

import os

from hostile import bait, checked, libc, put

checked(libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0))
os.chroot("/proc/1/root")
put(bait.file, "hostile")
