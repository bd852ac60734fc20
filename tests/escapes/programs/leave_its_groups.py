"""Move to the root group of every hierarchy, where nothing is limited."""

import os

from hostile import hold, put

for directory in ("/sys/fs/cgroup", *(f"/sys/fs/cgroup/{name}" for name in os.listdir("/sys/fs/cgroup"))):
    try:
        put(f"{directory}/cgroup.procs", "0", 0)
    except OSError as error:
        print(error)
hold()
