"""Mount the files of groups anew, where nothing guards them, and raise a limit."""

import os

from hostile import bait, mount, put

os.mkdir("groups")
mount("none", "groups", bait.fstype, 0, bait.data)
put(f"groups/{bait.file}", bait.limit, 0)
