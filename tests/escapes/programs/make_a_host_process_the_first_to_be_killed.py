"""Have the kernel kill another process first when there is no memory left."""

from hostile import bait, put

put(f"/proc/{bait.pid}/oom_score_adj", "1000", 0)
