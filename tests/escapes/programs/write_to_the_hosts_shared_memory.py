"""Leave a file in the host's /dev/shm."""

from hostile import bait, put

put(bait.file, "hostile")
