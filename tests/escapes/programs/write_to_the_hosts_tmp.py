"""Leave a file in the host's /tmp."""

from hostile import bait, put

put(bait.file, "hostile")
