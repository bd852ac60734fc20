"""Leave a file in a directory of the host that everybody may write to."""

from hostile import bait, put

put(bait.file, "hostile")
