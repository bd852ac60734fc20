"""Delete a file of the host's."""

import os

from hostile import bait

os.unlink(bait.file)
