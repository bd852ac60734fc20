"""Give a file of the host's a further name in its own directory, where it may write."""

import os

from hostile import bait, put

os.link(bait.file, "mine")
put("mine", "hostile", 0)
