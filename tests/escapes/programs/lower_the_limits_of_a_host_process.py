"""Leave another process of the same user no descriptors."""

import resource

from hostile import bait

resource.prlimit(int(bait.pid), resource.RLIMIT_NOFILE, (3, 3))
