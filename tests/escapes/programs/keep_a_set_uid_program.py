"""Give a set-uid program of the host's a further name, under which it stays when the host has a better one."""

import os

from hostile import bait

os.link(bait.file, "kept")
