"""Make the log directory of the next process a link to where it would like something written."""

import os
import shutil

from hostile import bait

while not os.path.islink(".logs/next"):
    shutil.rmtree(".logs/next", ignore_errors=True)
    try:
        os.symlink(bait.where, ".logs/next")
    except FileExistsError:
        pass  # thermos was quicker
