"""Change the file that says what its task is, for whoever takes it over."""

import os

from hostile import bait, put

put(bait.file, bait.word[::-1], os.O_APPEND)
