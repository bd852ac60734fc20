"""Have the host run a command as root every minute."""

from hostile import bait, put

put(bait.file, "hostile")
