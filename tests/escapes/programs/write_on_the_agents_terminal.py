"""Write on somebody's terminal."""

import os

from hostile import bait

os.write(os.open(bait.terminal, os.O_WRONLY | os.O_NOCTTY), b"hostile")
