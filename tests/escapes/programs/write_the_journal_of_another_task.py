"""Write to the journal of another task."""

import os

from hostile import bait, put

put(bait.file, "hostile::0:0::/:/bin/sh\n", os.O_APPEND)
