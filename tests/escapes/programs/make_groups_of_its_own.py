"""Make a group, to be limited by nobody."""

import os

from hostile import bait

os.mkdir(bait.directory)
