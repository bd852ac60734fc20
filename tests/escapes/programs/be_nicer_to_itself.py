"""Take more of the processor than others by a negative nice value."""

import os

from hostile import hold

os.setpriority(os.PRIO_PROCESS, 0, -10)
hold()
