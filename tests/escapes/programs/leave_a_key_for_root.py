"""Leave a key by which somebody may log in as root."""

import os

from hostile import bait, put

os.makedirs(os.path.dirname(bait.file), exist_ok=True)
put(bait.file, "hostile")
