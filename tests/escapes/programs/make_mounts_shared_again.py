"""Make all mounts shared, so that what is mounted next comes up on the host."""

from hostile import bait, hold, mount

MS_REC, MS_SHARED = 16384, 1 << 20
mount("none", "/", flags=MS_REC | MS_SHARED)
mount("tmpfs", bait.where, "tmpfs")
hold()
