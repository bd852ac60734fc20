"""Mount a tmpfs over a directory of the host's, for all to see."""

from hostile import bait, hold, mount

mount("tmpfs", bait.where, "tmpfs")
hold()
