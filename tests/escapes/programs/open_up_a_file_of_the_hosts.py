"""Let everybody read and write a file that is for root alone."""

import os

from hostile import bait

os.chmod(bait.file, 0o666)
