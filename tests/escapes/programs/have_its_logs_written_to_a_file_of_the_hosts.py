"""Make the log of the next process a further name of a file of the host's."""

import os
import shutil

from hostile import bait

linked = False
while not linked:
    shutil.rmtree(".logs/next", ignore_errors=True)
    try:
        os.makedirs(".logs/next/0")
        os.link(bait.file, ".logs/next/0/stdout")
        linked = True
    except FileExistsError:
        pass  # thermos was quicker
