"""Make a file in the host's /dev."""

import os
import stat

from hostile import bait

os.mknod(bait.path, 0o600 | stat.S_IFSOCK)
