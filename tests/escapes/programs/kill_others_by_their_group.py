"""Kill all processes of another group at once."""

from hostile import bait, put

put(bait.file, "1", 0)
