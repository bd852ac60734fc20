"""Leave a file in the host's /var/tmp."""

from hostile import bait, put

put(bait.file, "hostile")
