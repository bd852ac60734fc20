"""Write to the journal of its own task."""

import os

from hostile import bait, put

put(bait.file, bait.word[::-1], os.O_APPEND)
